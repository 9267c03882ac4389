// OBUF: accumulators, in two halves with ports of their own, so that VECTOR drains one while MATRIX
// fills the other. A tag names a row; psum_i holds its sums one cycle later (npu_obuf_half).
`include "npu_macros.svh"

module npu_obuf
  import npu_arch_pkg::*;
(
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      mat_tag_valid_i,
  input  logic                      mat_first_i,
  input  logic [19:0]               mat_row_i,
  input  logic signed [AccBits-1:0] psum_i     [Cols],

  input  logic                      vec_rd_i,
  input  logic [19:0]               vec_row_i,
  output logic                      vec_ready_o,  // MATRIX does not read the half of vec_row_i now
  output logic [AccBits-1:0]        lower_o    [Cols],  // what was read of either half
  output logic [AccBits-1:0]        upper_o    [Cols]
);
  localparam int unsigned RowBits = $clog2(ObufHalfRows);

  logic mat_upper, vec_upper;
  logic [19:0] mat_row, vec_row;
  assign mat_upper = mat_row_i >= 20'(ObufHalfRows);
  assign vec_upper = vec_row_i >= 20'(ObufHalfRows);
  assign mat_row = mat_upper ? mat_row_i - 20'(ObufHalfRows) : mat_row_i;
  assign vec_row = vec_upper ? vec_row_i - 20'(ObufHalfRows) : vec_row_i;
  assign vec_ready_o = !(mat_tag_valid_i && !mat_first_i && mat_upper == vec_upper);

  npu_obuf_half u_lower (
    .clk_i,
    .rst_ni,
    .mat_i(mat_tag_valid_i && !mat_upper),
    .mat_first_i,
    .mat_row_i(mat_row[RowBits-1:0]),
    .psum_i,
    .vec_rd_i(vec_rd_i && !vec_upper),
    .vec_row_i(vec_row[RowBits-1:0]),
    .rd_data_o(lower_o)
  );

  npu_obuf_half u_upper (
    .clk_i,
    .rst_ni,
    .mat_i(mat_tag_valid_i && mat_upper),
    .mat_first_i,
    .mat_row_i(mat_row[RowBits-1:0]),
    .psum_i,
    .vec_rd_i(vec_rd_i && vec_upper),
    .vec_row_i(vec_row[RowBits-1:0]),
    .rd_data_o(upper_o)
  );

  logic unused;
  assign unused = ^{mat_row[19:RowBits], vec_row[19:RowBits]};

  `NPU_ASSERT(MatrixInRange, !mat_tag_valid_i || mat_row_i < 20'(ObufRows),
              "npu_obuf: MATRIX names a row outside OBUF")
  `NPU_ASSERT(VectorInRange, !vec_rd_i || vec_row_i < 20'(ObufRows),
              "npu_obuf: VECTOR names a row outside OBUF")
endmodule
