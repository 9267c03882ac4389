// PARAM: per-lane biases and multipliers. Written by LOAD, read by VECTOR, whose port is its alone.
//
// Kept as int32 words, as VECTOR reads them: a row is Lanes biases, then Lanes multipliers.
`include "npu_macros.svh"

module npu_param
  import npu_arch_pkg::*;
#(
  localparam int unsigned RowBits  = $clog2(ParamRows),
  localparam int unsigned BusWords = (DramBytes + 3) / 4
) (
  input  logic                 clk_i,

  input  logic                 rd_i,
  input  logic [RowBits-1:0]   rd_row_i,
  output logic signed [31:0]   bias_o         [Lanes],
  output logic signed [31:0]   mult_o         [Lanes],

  input  logic                 load_wr_i,
  input  logic [23:0]          load_wr_addr_i,
  input  logic [7:0]           load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0] load_wr_strb_i
);
  `NPU_ASSERT_STATIC(BusOfWords, DramBytes % 4 == 0, "npu_param: DramBytes must be a multiple of 4")

  // Biases and multipliers apart, so that each is read as the array that VECTOR takes.
  `NPU_RAM(bias, 32, Lanes, ParamRows)
  `NPU_RAM(mult, 32, Lanes, ParamRows)

  // Scratch, written before it is read. Static: an automatic array is cleared at every edge.
  logic signed [31:0] row_d [Lanes];
  logic [31:0] data [Lanes];
  logic [31:0] mask [Lanes];

  always_ff @(posedge clk_i) begin : access
    automatic int unsigned i;
    automatic int unsigned word;
    automatic logic [RowBits-1:0] row;
    `NPU_IN_PLACE_BEGIN
    if (rd_i) begin
      row = rd_row_i;
      `NPU_RAM_READ(bias_o, bias, row, row_d, 32, Lanes, i)
      `NPU_RAM_READ(mult_o, mult, row, row_d, 32, Lanes, i)
    end
    if (load_wr_i) begin
      row = RowBits'(32'(load_wr_addr_i) / ParamRowBytes);
      word = 32'(load_wr_addr_i) % ParamRowBytes / 4;  // the bus brings BusWords from here
      `NPU_FOR(i, Lanes)
        data[i] = {load_wr_data_i[4*(i%BusWords)+3], load_wr_data_i[4*(i%BusWords)+2],
                   load_wr_data_i[4*(i%BusWords)+1], load_wr_data_i[4*(i%BusWords)]};
        mask[i] = (i / BusWords == word % Lanes / BusWords) ?
            {{8{load_wr_strb_i[4*(i%BusWords)+3]}}, {8{load_wr_strb_i[4*(i%BusWords)+2]}},
             {8{load_wr_strb_i[4*(i%BusWords)+1]}}, {8{load_wr_strb_i[4*(i%BusWords)]}}} : 32'd0;
      `NPU_END_FOR
      if (word < Lanes) begin
        `NPU_RAM_WRITE(bias, row, data, mask, 32, Lanes, i)
      end else begin
        `NPU_RAM_WRITE(mult, row, data, mask, 32, Lanes, i)
      end
    end
    `NPU_IN_PLACE_END
  end
endmodule
