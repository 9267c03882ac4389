// TABLE: tables of VECTOR's table stage. Written by LOAD, read by VECTOR, one entry for every lane.
//
// An entry is a word of 32 bits: an int16 base, above it an int16 slope. In hardware there is a copy
// for every two lanes, whose two ports are the two lanes'; LOAD writes all copies through the first
// port, a word a cycle, in cycles in which VECTOR does not read. rd_data_o holds until the next read.
`include "npu_macros.svh"

module npu_table
  import npu_arch_pkg::*;
#(
  localparam int unsigned Entries  = TableBytes / 4,
  localparam int unsigned Bits     = $clog2(Entries),
  localparam int unsigned BusWords = DramBytes / 4
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  input  logic                 rd_i,
  input  logic [11:0]          rd_entry_i     [Lanes],
  output logic [31:0]          rd_data_o      [Lanes],

  input  logic                 load_wr_i,
  output logic                 load_ready_o,  // the last word of the beat is written
  input  logic [23:0]          load_wr_addr_i,
  input  logic [7:0]           load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0] load_wr_strb_i
);
  `NPU_ASSERT_STATIC(Pairs, Lanes % 2 == 0, "npu_table: Lanes must be even")

  logic [4:0] sub_q;  // the word of the beat that is next; a beat has at most 128 bytes
  logic        write;
  assign write = load_wr_i && !rd_i;
  assign load_ready_o = !rd_i && sub_q == 5'(BusWords - 1);

  logic [31:0]     word, mask;
  logic [Bits-1:0] wr_entry;
  always_comb begin : pick
    automatic int unsigned i, first;
    first = 4 * 32'(sub_q);
    word = 32'd0;
    mask = 32'd0;
    wr_entry = '0;
    if (write) begin
      wr_entry = Bits'(32'(load_wr_addr_i) / 4 + 32'(sub_q));
      for (i = 0; i < 4; i++) begin
        word[8*i+:8] = load_wr_data_i[first+i];
        mask[8*i+:8] = {8{load_wr_strb_i[first+i]}};
      end
    end
  end

  always_ff @(posedge clk_i) begin : sequencer
    if (!rst_ni || !load_wr_i) sub_q <= '0;
    else if (write) sub_q <= load_ready_o ? '0 : sub_q + 5'd1;
  end

`ifdef NPU_FAST_MODEL
  logic [31:0] ram [2**Bits];
  logic [31:0] row_d [Lanes];  // scratch
  always_ff @(posedge clk_i) begin : access
    automatic int unsigned l;
    `NPU_IN_PLACE_BEGIN
    if (rd_i) begin
      `NPU_FOR(l, Lanes) row_d[l] = ram[rd_entry_i[l][Bits-1:0]]; `NPU_END_FOR
      rd_data_o <= row_d;
    end
    if (write) ram[wr_entry] = (ram[wr_entry] & ~mask) | (word & mask);
    `NPU_IN_PLACE_END
  end
`else
  for (genvar p = 0; p < Lanes; p += 2) begin : g_copy
    logic [31:0]     ram [Entries];
    logic [Bits-1:0] first;
    assign first = write ? wr_entry : rd_entry_i[p][Bits-1:0];
    always_ff @(posedge clk_i) begin : access
      if (rd_i) rd_data_o[p] <= ram[first];
      for (int unsigned i = 0; i < 4; i++) begin
        if (mask[8*i]) ram[first][8*i+:8] <= word[8*i+:8];
      end
    end
    always_ff @(posedge clk_i) begin : second
      if (rd_i) rd_data_o[p+1] <= ram[rd_entry_i[p+1][Bits-1:0]];
    end
  end
`endif

endmodule
