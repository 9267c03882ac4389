// WBUF: weights. Written by LOAD, read by MATRIX, one row of Cols weights at a
// time; weights of 4 bits lie two in a byte, the lower column in the lower half.
`include "npu_macros.svh"

module npu_wbuf
  import npu_arch_pkg::*;
#(
  localparam int unsigned RowBits = $clog2(WbufRows)
) (
  input  logic                 clk_i,

  input  logic                 rd_i,
  input  logic [RowBits-1:0]   rd_row_i,
  output logic [7:0]           rd_data_o      [WbufRowBytes],

  input  logic                 load_wr_i,
  input  logic [23:0]          load_wr_addr_i,
  input  logic [7:0]           load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0] load_wr_strb_i
);
  `NPU_RAM(ram, 8, WbufRowBytes, WbufRows)

  // Scratch, written before it is read. Static: an automatic array is cleared at every edge.
  logic [7:0] row_d [WbufRowBytes];
  logic [7:0] data [WbufRowBytes];
  logic [7:0] mask [WbufRowBytes];

  always_ff @(posedge clk_i) begin : access
    automatic int unsigned i;
    automatic int unsigned sub;
    automatic logic [RowBits-1:0] row;
    `NPU_IN_PLACE_BEGIN
    if (rd_i) begin
      row = rd_row_i;
      `NPU_RAM_READ(rd_data_o, ram, row, row_d, 8, WbufRowBytes, i)
    end
    if (load_wr_i) begin
      row = RowBits'(32'(load_wr_addr_i) / WbufRowBytes);
      sub = 32'(load_wr_addr_i) % WbufRowBytes / DramBytes;
      `NPU_FOR(i, WbufRowBytes)
        data[i] = load_wr_data_i[i%DramBytes];
        mask[i] = {8{i / DramBytes == sub && load_wr_strb_i[i%DramBytes]}};
      `NPU_END_FOR
      `NPU_RAM_WRITE(ram, row, data, mask, 8, WbufRowBytes, i)
    end
    `NPU_IN_PLACE_END
  end
endmodule
