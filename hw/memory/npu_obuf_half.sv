// One half of OBUF: accumulators with one read and one write port.
//
// MATRIX: in the cycle of a tag (mat_i) the row is read, unless the tag says `first`; in the next
// cycle psum_i holds the sums of that tag, and row + psum_i (or psum_i alone) is written. Two tags
// that follow each other at once never name the same row (the sequencer sees to that), so nothing
// is forwarded. VECTOR reads when the caller says so, in cycles in which MATRIX does not.
`include "npu_macros.svh"

module npu_obuf_half
  import npu_arch_pkg::*;
#(
  localparam int unsigned RowBits = $clog2(ObufHalfRows)
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      mat_i,
  input  logic                      mat_first_i,
  input  logic [RowBits-1:0]        mat_row_i,
  input  logic signed [AccBits-1:0] psum_i    [Cols],

  input  logic                      vec_rd_i,
  input  logic [RowBits-1:0]        vec_row_i,
  output logic [AccBits-1:0]        rd_data_o [Cols]
);
  /*verilator inline_module*/
  `NPU_RAM(ram, AccBits, Cols, ObufHalfRows)

  logic               add_q;
  logic               first_q;
  logic [RowBits-1:0] row_q;

  // Scratch, written before it is read. Static: an automatic array is cleared at every edge.
  logic [AccBits-1:0] row_d [Cols];
  logic [AccBits-1:0] sum [Cols];

  always_ff @(posedge clk_i) begin : access
    automatic int unsigned c;
    automatic logic [RowBits-1:0] row;
    `NPU_IN_PLACE_BEGIN
    add_q <= mat_i && rst_ni;
    if (mat_i) begin
      first_q <= mat_first_i;
      row_q <= mat_row_i;
    end
    if (vec_rd_i || (mat_i && !mat_first_i)) begin
      // One read of one row: two reads into one register would be no block RAM.
      row = mat_i && !mat_first_i ? mat_row_i : vec_row_i;
      `NPU_RAM_READ(rd_data_o, ram, row, row_d, AccBits, Cols, c)
    end
    if (add_q) begin
      if (first_q) begin
        `NPU_FOR(c, Cols) sum[c] = psum_i[c]; `NPU_END_FOR
      end else begin
        `NPU_FOR(c, Cols) sum[c] = rd_data_o[c] + psum_i[c]; `NPU_END_FOR
      end
      `NPU_RAM_WRITE_ROW(ram, row_q, sum, AccBits, Cols, c)
    end
    `NPU_IN_PLACE_END
  end

  `NPU_ASSERT(NoReuse, !(mat_i && add_q && !mat_first_i) || mat_row_i != row_q,
              "npu_obuf_half: a row is read in the cycle in which it is written")
  `NPU_ASSERT(OneReader, !(vec_rd_i && mat_i && !mat_first_i),
              "npu_obuf_half: VECTOR was granted the port that MATRIX uses")
endmodule
