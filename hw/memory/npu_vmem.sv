// VMEM: the vector scratchpad. Written by VECTOR (8, 16, 32 bits) and LOAD, read by VECTOR and
// STORE.
//
// A row holds 4 Lanes bytes, one vector of int32, in four banks of Lanes bytes; narrower vectors
// take an aligned half or quarter of it. Elements are little-endian. The caller arbitrates: at most
// one read, and VECTOR before LOAD on the write port. rd_dtype_i and rd_addr_i say which banks are
// read.
`include "npu_macros.svh"

module npu_vmem
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
(
  input  logic                 clk_i,

  input  logic                 rd_i,
  input  logic [23:0]          rd_addr_i,
  input  dtype_e               rd_dtype_i,  // an 8-bit one for bytes within one bank
  output logic [7:0]           rd_data_o      [4][Lanes],

  input  logic                 vec_wr_i,
  input  logic                 vec_wr_port_i,  // which of the two vectors
  input  logic [23:0]          vec_wr_addr_i,
  input  dtype_e               vec_wr_dtype_i,
  input  logic signed [31:0]   vec_wr_data_i  [2][Lanes],
  input  logic [Lanes-1:0]     vec_wr_mask_i,

  input  logic                 load_wr_i,
  input  logic [23:0]          load_wr_addr_i,
  input  logic [7:0]           load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0] load_wr_strb_i
);
  localparam int unsigned RowBits = $clog2(VmemRows);
  localparam int unsigned BankLsb = $clog2(Lanes);
  `NPU_ASSERT_STATIC(OneBank, DramBytes <= Lanes, "npu_vmem: a bus word must lie in one bank")

  function automatic logic [3:0] banks(input logic [23:0] addr, input dtype_e dtype);
    unique case (dtype)
      DtypeS8, DtypeU8: return 4'b0001 << addr[BankLsb+:2];
      DtypeS16, DtypeU16: return addr[BankLsb+1] ? 4'b1100 : 4'b0011;
      default: return 4'b1111;
    endcase
  endfunction

  logic [3:0] rd, vec_wr, load_wr;
  logic [31:0] rd_row, vec_wr_row;
  assign rd = rd_i ? banks(rd_addr_i, rd_dtype_i) : 4'b0000;
  assign vec_wr = vec_wr_i ? banks(vec_wr_addr_i, vec_wr_dtype_i) : 4'b0000;
  assign load_wr = load_wr_i ? banks(load_wr_addr_i, DtypeU8) : 4'b0000;
  assign rd_row = 32'(rd_addr_i) / VmemRowBytes;
  assign vec_wr_row = 32'(vec_wr_addr_i) / VmemRowBytes;

  for (genvar b = 0; b < 4; b++) begin : g_bank
    npu_vmem_bank #(
      .Bank(b)
    ) u_bank (
      .clk_i,
      .rd_i(rd[b]),
      .rd_row_i(rd_row[RowBits-1:0]),
      .rd_data_o(rd_data_o[b]),
      .vec_wr_i(vec_wr[b]),
      .vec_wr_port_i,
      .vec_wr_row_i(vec_wr_row[RowBits-1:0]),
      .vec_wr_dtype_i,
      .vec_wr_data_i,
      .vec_wr_mask_i,
      .load_wr_i(load_wr[b]),
      .load_wr_addr_i,
      .load_wr_data_i,
      .load_wr_strb_i
    );
  end

  logic unused;
  assign unused = ^{rd_row[31:RowBits], vec_wr_row[31:RowBits]};
endmodule
