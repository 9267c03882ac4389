// The order of a transposition: which line of the lanes' square is filled and emptied next.
//
// One square of registers serves the block that goes in and the one that comes out: blocks are
// written along rows and along columns in turn, and vector k of the new block takes the place of
// vector k of the old one, which leaves in the same cycle. The last block of an instruction leaves
// with nothing coming in. What belongs to an iteration (tag, target) waits here meanwhile.
`include "npu_macros.svh"

module npu_vector_transpose
  import npu_vector_pkg::*;
(
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  logic                 stall_i,
  input  logic                 valid_i,  // a vector in stage 2 goes in
  input  tag_t                 tag_i,
  input  target_t              target_i,
  output logic                 busy_o,
  output logic                 columns_o,
  output logic [IndexBits-1:0] index_o,
  output logic                 valid_o,  // a vector goes to stage 3, with:
  output tag_t                 tag_o,
  output target_t              target_o
);
  logic                 full_q;   // the square holds a block that leaves
  logic                 flush_q;  // and nothing follows it
  logic                 columns_q;
  logic [IndexBits-1:0] index_q;
  tag_t                 tag_q    [Lanes];
  target_t              target_q [Lanes];

  assign busy_o    = full_q || index_q != '0;
  assign columns_o = columns_q;
  assign index_o   = index_q;
  assign valid_o   = full_q && (valid_i || flush_q);
  assign tag_o     = tag_q[index_q];
  assign target_o  = target_q[index_q];

  always_ff @(posedge clk_i) begin : turn
    if (!rst_ni || clear_i) begin
      full_q    <= 1'b0;
      flush_q   <= 1'b0;
      columns_q <= 1'b0;
      index_q   <= '0;
    end else if (!stall_i && (valid_i || flush_q)) begin
      if (valid_i) begin
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

  `NPU_ASSERT(flush_from_the_start, !flush_q || full_q, "nothing is left to be flushed")
endmodule
