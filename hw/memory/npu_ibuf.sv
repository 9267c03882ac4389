// IBUF: activations. Written by VECTOR (8-bit) and LOAD, read by MATRIX, VECTOR and STORE.
//
// A physical row holds Width = max(Rows, Lanes) bytes, so that one access serves a MATRIX row or a
// vector; MATRIX takes its slice behind the read register. The caller arbitrates: at most one read,
// and VECTOR before LOAD on the write port.
`include "npu_macros.svh"

module npu_ibuf
  import npu_arch_pkg::*;
#(
  parameter  int unsigned Width   = (Rows > Lanes) ? Rows : Lanes,
  localparam int unsigned Depth   = IbufBytes / Width,
  localparam int unsigned RowBits = $clog2(Depth)
) (
  input  logic                     clk_i,

  input  logic                     rd_i,
  input  logic [RowBits-1:0]       rd_row_i,
  output logic [7:0]               rd_data_o      [Width],

  input  logic                     mat_rd_i,       // this read is MATRIX's
  input  logic [19:0]              mat_row_i,
  output logic [7:0]               mat_data_o     [Rows],

  input  logic                     vec_wr_i,
  input  logic                     vec_wr_port_i,  // which of the two vectors
  input  logic [23:0]              vec_wr_addr_i,
  input  logic signed [31:0]       vec_wr_data_i  [2][Lanes],
  input  logic [Lanes-1:0]         vec_wr_mask_i,

  input  logic                     load_wr_i,
  input  logic [23:0]              load_wr_addr_i,
  input  logic [7:0]               load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0]     load_wr_strb_i
);
  `NPU_RAM(ram, 8, Width, Depth)

  // Scratch, written before it is read. Static: an automatic array is cleared at every edge.
  logic [7:0] row_d [Width];
  logic [7:0] data [Width];
  logic [7:0] mask [Width];

  always_ff @(posedge clk_i) begin : access
    automatic int unsigned i;
    automatic int unsigned sub;
    automatic logic [RowBits-1:0] row;
    `NPU_IN_PLACE_BEGIN
    if (rd_i) begin
      row = rd_row_i;
      `NPU_RAM_READ(rd_data_o, ram, row, row_d, 8, Width, i)
    end
    if (vec_wr_i || load_wr_i) begin
      if (vec_wr_i) begin
        row = RowBits'(32'(vec_wr_addr_i) / Width);
        sub = 32'(vec_wr_addr_i) % Width / Lanes;
        `NPU_FOR(i, Width)
          data[i] = vec_wr_data_i[vec_wr_port_i][i%Lanes][7:0];
          mask[i] = {8{i / Lanes == sub && vec_wr_mask_i[i%Lanes]}};
        `NPU_END_FOR
      end else begin
        row = RowBits'(32'(load_wr_addr_i) / Width);
        sub = 32'(load_wr_addr_i) % Width / DramBytes;
        `NPU_FOR(i, Width)
          data[i] = load_wr_data_i[i%DramBytes];
          mask[i] = {8{i / DramBytes == sub && load_wr_strb_i[i%DramBytes]}};
        `NPU_END_FOR
      end
      `NPU_RAM_WRITE(ram, row, data, mask, 8, Width, i)
    end
    `NPU_IN_PLACE_END
  end

  if (Width == Rows) begin : g_whole
    always_comb begin : slice
      automatic int unsigned r;
      `NPU_FOR(r, Rows) mat_data_o[r] = rd_data_o[r]; `NPU_END_FOR
    end
    logic unused;
    assign unused = ^{mat_rd_i, mat_row_i};
  end else begin : g_part
    localparam int unsigned SubBits = $clog2(Width / Rows);
    logic [SubBits-1:0] mat_sub_q;
    always_ff @(posedge clk_i) begin
      if (mat_rd_i) mat_sub_q <= mat_row_i[SubBits-1:0];
    end
    always_comb begin : slice
      automatic int unsigned r;
      `NPU_FOR(r, Rows) mat_data_o[r] = rd_data_o[32'(mat_sub_q)*Rows+r]; `NPU_END_FOR
    end
    logic unused;
    assign unused = ^mat_row_i[19:SubBits];
  end
endmodule
