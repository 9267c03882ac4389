// One of VMEM's four banks: bytes Bank*Lanes .. (Bank+1)*Lanes-1 of every row.
//
// A vector of 8-bit elements lies in one bank, of 16-bit elements in two, of 32-bit elements in
// all; LOAD writes DramBytes <= Lanes bytes in one bank. The caller says which banks an access
// names.
`include "npu_macros.svh"

module npu_vmem_bank
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
#(
  parameter  int unsigned Bank    = 0,
  localparam int unsigned RowBits = $clog2(VmemRows)
) (
  input  logic                 clk_i,

  input  logic                 rd_i,
  input  logic [RowBits-1:0]   rd_row_i,
  output logic [7:0]           rd_data_o      [Lanes],

  input  logic                 vec_wr_i,
  input  logic                 vec_wr_port_i,  // which of the two vectors
  input  logic [RowBits-1:0]   vec_wr_row_i,
  input  dtype_e               vec_wr_dtype_i,
  input  logic signed [31:0]   vec_wr_data_i  [2][Lanes],
  input  logic [Lanes-1:0]     vec_wr_mask_i,

  input  logic                 load_wr_i,
  input  logic [23:0]          load_wr_addr_i,
  input  logic [7:0]           load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0] load_wr_strb_i
);
  /*verilator inline_module*/
  `NPU_RAM(ram, 8, Lanes, VmemRows)

  // Scratch, written before it is read. Static: an automatic array is cleared at every edge.
  logic [7:0] row_d [Lanes];
  logic [7:0] data [Lanes];
  logic [7:0] mask [Lanes];

  always_ff @(posedge clk_i) begin : access
    automatic int unsigned i;
    automatic int unsigned sub;
    automatic logic [RowBits-1:0] row;
    `NPU_IN_PLACE_BEGIN
    if (rd_i) begin
      row = rd_row_i;
      `NPU_RAM_READ(rd_data_o, ram, row, row_d, 8, Lanes, i)
    end
    if (vec_wr_i || load_wr_i) begin
      if (vec_wr_i) begin
        row = vec_wr_row_i;
        unique case (vec_wr_dtype_i)
          DtypeS8, DtypeU8: begin
            `NPU_FOR(i, Lanes)
              data[i] = vec_wr_data_i[vec_wr_port_i][i][7:0];
              mask[i] = {8{vec_wr_mask_i[i]}};
            `NPU_END_FOR
          end
          DtypeS16, DtypeU16: begin  // banks 0 and 1, or 2 and 3
            `NPU_FOR(i, Lanes)
              data[i] = vec_wr_data_i[vec_wr_port_i][(Bank%2*Lanes+i)/2][8*(i%2)+:8];
              mask[i] = {8{vec_wr_mask_i[(Bank%2*Lanes+i)/2]}};
            `NPU_END_FOR
          end
          default: begin
            `NPU_FOR(i, Lanes)
              data[i] = vec_wr_data_i[vec_wr_port_i][(Bank*Lanes+i)/4][8*(i%4)+:8];
              mask[i] = {8{vec_wr_mask_i[(Bank*Lanes+i)/4]}};
            `NPU_END_FOR
          end
        endcase
      end else begin
        row = RowBits'(32'(load_wr_addr_i) / VmemRowBytes);
        sub = 32'(load_wr_addr_i) % Lanes / DramBytes;
        `NPU_FOR(i, Lanes)
          data[i] = load_wr_data_i[i%DramBytes];
          mask[i] = {8{i / DramBytes == sub && load_wr_strb_i[i%DramBytes]}};
        `NPU_END_FOR
      end
      `NPU_RAM_WRITE(ram, row, data, mask, 8, Lanes, i)
    end
    `NPU_IN_PLACE_END
  end
endmodule
