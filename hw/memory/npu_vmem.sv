// VMEM: the vector scratchpad. Written by VECTOR (8, 16, 32 bits) and LOAD, read by VECTOR and
// STORE.
//
// A row holds 4 Lanes bytes, one vector of int32, in four banks of Lanes bytes; narrower vectors
// take an aligned half or quarter of it. Elements are little-endian. The caller arbitrates: at most
// one read of a bank, and VECTOR before LOAD on the write port.
`include "npu_macros.svh"

module npu_vmem
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
(
  input  logic                 clk_i,

  input  logic [3:0]           vec_rd_i,  // by bank
  input  logic [23:0]          vec_rd_addr_i,
  input  logic [3:0]           store_rd_i,
  input  logic [23:0]          store_rd_addr_i,
  output logic [7:0]           rd_data_o      [4][Lanes],

  input  logic [3:0]           vec_wr_i,
  input  logic                 vec_wr_port_i,  // which of the two vectors
  input  logic [23:0]          vec_wr_addr_i,
  input  dtype_e               vec_wr_dtype_i,
  input  logic signed [31:0]   vec_wr_data_i  [2][Lanes],
  input  logic [Lanes-1:0]     vec_wr_mask_i,

  input  logic [3:0]           load_wr_i,
  input  logic [23:0]          load_wr_addr_i,
  input  logic [7:0]           load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0] load_wr_strb_i
);
  localparam int unsigned RowBits = $clog2(VmemRows);
  `NPU_ASSERT_STATIC(OneBank, DramBytes <= Lanes, "npu_vmem: a bus word must lie in one bank")

  logic [31:0] vec_rd_row, store_rd_row, vec_wr_row;
  assign vec_rd_row = 32'(vec_rd_addr_i) / VmemRowBytes;
  assign store_rd_row = 32'(store_rd_addr_i) / VmemRowBytes;
  assign vec_wr_row = 32'(vec_wr_addr_i) / VmemRowBytes;

  for (genvar b = 0; b < 4; b++) begin : g_bank
    npu_vmem_bank #(
      .Bank(b)
    ) u_bank (
      .clk_i,
      .rd_i(vec_rd_i[b] || store_rd_i[b]),
      .rd_row_i(vec_rd_i[b] ? vec_rd_row[RowBits-1:0] : store_rd_row[RowBits-1:0]),
      .rd_data_o(rd_data_o[b]),
      .vec_wr_i(vec_wr_i[b]),
      .vec_wr_port_i,
      .vec_wr_row_i(vec_wr_row[RowBits-1:0]),
      .vec_wr_dtype_i,
      .vec_wr_data_i,
      .vec_wr_mask_i,
      .load_wr_i(load_wr_i[b]),
      .load_wr_addr_i,
      .load_wr_data_i,
      .load_wr_strb_i
    );
  end

  logic unused;
  assign unused = ^{vec_rd_row[31:RowBits], store_rd_row[31:RowBits], vec_wr_row[31:RowBits]};
endmodule
