// Beside stage 2: turns blocks of `lanes` vectors, one vector a cycle.
//
// One square of registers serves the block that goes in and the one that comes out: blocks are
// written along rows and along columns in turn, and vector k of the new block takes the place of
// vector k of the old one, which leaves in the same cycle. The last block of an instruction leaves
// with nothing coming in.
`include "npu_macros.svh"

module npu_vector_transpose
  import npu_vector_pkg::*;
(
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               clear_i,
  input  logic               stall_i,
  input  logic               valid_i,
  input  tag_t               tag_i,
  input  target_t            target_i,
  input  logic signed [31:0] vector_i [Lanes],
  output logic               busy_o,
  output logic               valid_o,   // a vector goes to stage 3 at this edge, with:
  output tag_t               tag_o,
  output target_t            target_o,
  output logic signed [31:0] vector_o [Lanes]  // in stage 3
);
  localparam int unsigned IndexBits = $clog2(Lanes);

  logic                 full_q;     // the square holds a block that leaves
  logic                 flush_q;    // and nothing follows it
  logic                 columns_q;  // the current direction
  logic [IndexBits-1:0] index_q;
  logic signed [31:0]   square_q [Lanes][Lanes];
  tag_t                 tag_q    [Lanes];
  target_t              target_q [Lanes];

  assign busy_o   = full_q || index_q != '0;
  assign valid_o  = full_q && (valid_i || flush_q);
  assign tag_o    = tag_q[index_q];
  assign target_o = target_q[index_q];

  always_ff @(posedge clk_i) begin : turn
    automatic int unsigned l;
    automatic logic signed [31:0] square [Lanes][Lanes];
    automatic logic signed [31:0] vector [Lanes];
    if (!rst_ni || clear_i) begin
      full_q    <= 1'b0;
      flush_q   <= 1'b0;
      columns_q <= 1'b0;
      index_q   <= '0;
    end else if (!stall_i && (valid_i || flush_q)) begin
      if (columns_q) begin
        `NPU_FOR(l, Lanes) vector[l] = square_q[l][index_q]; `NPU_END_FOR
      end else begin
        vector = square_q[index_q];
      end
      vector_o <= vector;

      if (valid_i) begin
        square = square_q;
        if (columns_q) begin
          `NPU_FOR(l, Lanes) square[l][index_q] = vector_i[l]; `NPU_END_FOR
        end else begin
          square[index_q] = vector_i;
        end
        square_q <= square;
        tag_q[index_q] <= tag_i;
        target_q[index_q] <= target_i;
      end

      index_q <= index_q + 1'b1;
      if (index_q == '1) begin
        full_q    <= valid_i;
        flush_q   <= valid_i && tag_i.done;
        columns_q <= !columns_q;
      end
    end
  end

  `NPU_ASSERT(done_ends_a_block, !valid_i || !tag_i.done || index_q == '1,
              "a transposition must end with a whole block")
endmodule
