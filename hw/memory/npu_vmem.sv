// VMEM: the vector scratchpad. Written by VECTOR (8, 16, 32 bits) and LOAD, read by VECTOR and STORE.
//
// A row holds Width = 4 Lanes bytes, one vector of int32; narrower vectors take an aligned half or
// quarter of it. Elements are little-endian. The caller arbitrates: at most one read, and VECTOR before
// LOAD on the write port.
`include "npu_macros.svh"

module npu_vmem
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
#(
  localparam int unsigned Width   = VmemRowBytes,
  localparam int unsigned RowBits = $clog2(VmemRows)
) (
  input  logic                 clk_i,

  input  logic                 rd_i,
  input  logic [RowBits-1:0]   rd_row_i,
  output logic [7:0]           rd_data_o      [Width],

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
  `NPU_RAM(ram, 8, Width, VmemRows)

  always_ff @(posedge clk_i) begin : access
    automatic int unsigned i;
    automatic int unsigned offset;
    automatic logic [RowBits-1:0] row;
    automatic logic [7:0] data [Width];
    automatic logic [7:0] mask [Width];
    if (rd_i) begin
      `NPU_RAM_READ(rd_data_o, ram, rd_row_i, 8, Width, i)
    end
    if (vec_wr_i || load_wr_i) begin
      if (vec_wr_i) begin
        row = RowBits'(32'(vec_wr_addr_i) / Width);
        offset = 32'(vec_wr_addr_i) % Width;
        unique case (vec_wr_dtype_i)
          DtypeS8, DtypeU8: begin
            `NPU_FOR(i, Width)
              data[i] = vec_wr_data_i[vec_wr_port_i][i%Lanes][7:0];
              mask[i] = (i / Lanes == offset / Lanes && vec_wr_mask_i[i%Lanes]) ? 8'hff : 8'h00;
            `NPU_END_FOR
          end
          DtypeS16, DtypeU16: begin
            `NPU_FOR(i, Width)
              data[i] = vec_wr_data_i[vec_wr_port_i][i/2%Lanes][8*(i%2)+:8];
              mask[i] = (i / 2 / Lanes == offset / 2 / Lanes && vec_wr_mask_i[i/2%Lanes]) ? 8'hff : 8'h00;
            `NPU_END_FOR
          end
          default: begin
            `NPU_FOR(i, Width)
              data[i] = vec_wr_data_i[vec_wr_port_i][i/4][8*(i%4)+:8];
              mask[i] = vec_wr_mask_i[i/4] ? 8'hff : 8'h00;
            `NPU_END_FOR
          end
        endcase
      end else begin
        row = RowBits'(32'(load_wr_addr_i) / Width);
        offset = 32'(load_wr_addr_i) % Width;
        `NPU_FOR(i, Width)
          data[i] = load_wr_data_i[i%DramBytes];
          mask[i] = (i / DramBytes == offset / DramBytes && load_wr_strb_i[i%DramBytes]) ? 8'hff : 8'h00;
        `NPU_END_FOR
      end
      `NPU_RAM_WRITE(ram, row, data, mask, 8, Width, i)
    end
  end
endmodule
