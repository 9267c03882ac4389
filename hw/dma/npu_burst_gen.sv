// Cuts the DRAM bytes of runs into INCR bursts and offers one address a cycle (AR or AW channel).
// A burst starts on a beat, never crosses a multiple of BurstBeats beats (so neither 4 KiB), and is
// offered only when `room_i` beats and a place among the outstanding bursts are there for it.

module npu_burst_gen
  import npu_dma_pkg::*;
#(
  parameter int unsigned BurstBeats = 32,  // power of two
  parameter int unsigned RoomBits = 9
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                clear_i,
  input  logic                tick_i,
  input  logic                halt_i,
  input  logic                run_valid_i,
  input  logic [63:0]         run_dram_i,
  input  logic [19:0]         run_data_i,   // bytes; 0: nothing to ask for
  output logic                run_next_o,
  input  logic [RoomBits-1:0] room_i,       // beats that may still be asked for
  input  logic                slot_free_i,  // one more burst may be outstanding
  output logic                middle_o,     // a part of the run was asked for
  output logic                issue_o,      // a burst was taken into the address register
  output logic [8:0]          issue_beats_o,
  output logic                valid_o,
  input  logic                ready_i,
  output logic [63:0]         addr_o,
  output logic [7:0]          len_o         // beats - 1
);
  localparam int unsigned BlockBits = $clog2(BurstBeats);
  localparam int unsigned BeatsBits = 21;

  logic                 valid_q;
  logic [63:0]          addr_q;
  logic [7:0]           len_q;
  logic                 middle_q;      // rest_* describe what is left of the run
  logic [63:0]          rest_addr_q;
  logic [BeatsBits-1:0] rest_beats_q;

  logic                 issue, whole;
  logic [63:0]          addr;
  logic [BeatsBits-1:0] beats, block, len;

  always_comb begin
    issue = 1'b0;
    whole = 1'b0;
    addr = rest_addr_q;
    beats = rest_beats_q;
    block = '0;
    len = '0;
    if (run_valid_i) begin
      if (!middle_q) begin
        addr = {run_dram_i[63:BeatShift], BeatShift'(0)};
        beats = (BeatsBits'(run_dram_i[BeatShift-1:0]) + BeatsBits'(run_data_i)
                 + BeatsBits'(BeatBytes - 1)) >> BeatShift;
      end
      block = BeatsBits'(BurstBeats) - BeatsBits'(addr[BeatShift +: BlockBits]);
      len = beats < block ? beats : block;
      whole = len == beats;
      issue = run_data_i != '0 && (!valid_q || ready_i) && !halt_i && slot_free_i
              && BeatsBits'(room_i) >= len;
    end
  end

  assign run_next_o = run_valid_i && !halt_i && (run_data_i == '0 || (issue && whole));
  assign middle_o = middle_q;
  assign issue_o = issue;
  assign issue_beats_o = len[8:0];
  assign valid_o = valid_q;
  assign addr_o = addr_q;
  assign len_o = len_q;

  always_ff @(posedge clk_i) begin : burst
    if (!tick_i) begin
    end else if (!rst_ni) begin
      valid_q <= 1'b0;
      middle_q <= 1'b0;
    end else if (clear_i) begin
      middle_q <= 1'b0;
    end else if (issue) begin
      valid_q <= 1'b1;
      addr_q <= addr;
      len_q <= 8'(len - BeatsBits'(1));
      middle_q <= !whole;
      rest_addr_q <= addr + (64'(len) << BeatShift);
      rest_beats_q <= beats - len;
    end else if (valid_q && ready_i) begin
      valid_q <= 1'b0;
    end
  end
endmodule
