// Turns a stream of source beats into destination chunks: one chunk (the bytes of one destination
// beat, with strobes) a cycle, for runs whose two sides have any byte alignment, padding merged in.
//
// A run's source beats come in order through the window of npu_window_fifo; a beat that two runs
// need is asked for twice. Positions are relative to the chunk at hand: lane l of it is byte
// l - `first` of what is left of the run, and byte l + `shift` of the window.

`include "npu_macros.svh"

module npu_realign
  import npu_dma_pkg::*;
#(
  parameter int unsigned SlotBits = 2,
  parameter int unsigned AddrBits = 24
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                clear_i,
  input  logic                tick_i,
  input  logic                gate_i,        // may emit a chunk
  // the next run, as a walker offers it
  input  logic                run_valid_i,
  input  logic [SlotBits-1:0] run_slot_i,
  input  logic                run_last_i,    // last run of its instruction
  input  logic [AddrBits-1:0] run_to_i,      // destination address of byte 0
  input  logic [BeatShift-1:0] run_from_i,   // of the first data byte in its source beat
  input  logic [19:0]         run_bytes_i,
  input  logic [19:0]         run_before_i,
  input  logic [19:0]         run_data_i,
  input  logic [7:0]          run_fill_i,
  input  logic                run_bad_i,     // nothing of it moves: it is an error
  output logic                run_next_o,
  // source window
  input  logic [1:0]          count_i,
  input  logic [BeatBits-1:0] beat0_i,
  input  logic [BeatBits-1:0] beat1_i,
  input  logic                error0_i,
  input  logic                error1_i,
  output logic [1:0]          pop_o,
  // chunks
  output logic                emit_o,        // a chunk goes into the output register
  output logic                valid_o,
  input  logic                ready_i,
  output logic [AddrBits-1:0] addr_o,        // multiple of BeatBytes
  output logic [7:0]          data_o [BeatBytes],
  output logic [BeatBytes-1:0] strb_o,
  output logic                run_end_o,     // last chunk of its run
  output logic                instr_end_o,   // last chunk of its instruction
  // status
  output logic                starved_o,     // waits for source beats
  output logic                error_o,       // a bad run or a beat with an error was reached; sticky
  output logic [SlotBits-1:0] slot_o         // instruction at hand
);
  typedef logic signed [RelBits-1:0] rel_t;
  localparam rel_t Beat = rel_t'(BeatBytes);

  logic                 active_q, last_q;
  logic [SlotBits-1:0]  slot_q;
  logic [AddrBits-1:0]  addr_q;
  logic [BeatShift-1:0] first_q;          // first lane of the run in this chunk
  rel_t                 end_q;            // one past its last lane, if below Beat
  rel_t                 low_q, high_q;    // lanes with data
  rel_t                 shift_q;
  logic [7:0]           fill_q;
  logic                 error_q;

  logic                 valid_q, run_end_q, instr_end_q;
  logic [AddrBits-1:0]  out_addr_q;
  logic [7:0]           data_q [BeatBytes];
  logic [BeatBytes-1:0] strb_q;

  logic       emit, finish, has_data, enough, bad;
  logic [1:0] need, pop;
  rel_t       reach;

  always_comb begin
    emit = 1'b0;
    finish = 1'b0;
    has_data = 1'b0;
    enough = 1'b1;
    bad = 1'b0;
    need = '0;
    pop = '0;
    reach = '0;
    if (active_q) begin
      has_data = low_q < Beat && high_q > 0 && low_q < high_q;
      finish = end_q <= Beat;
      if (has_data) begin
        reach = shift_q + (high_q < Beat ? high_q : Beat);  // past the last byte used
        need = reach > Beat ? 2'd2 : 2'd1;
        enough = count_i >= need;
        bad = enough && (error0_i || (need == 2'd2 && error1_i));
        // Behind a run's last byte the beat is done with; before it, only when it is used up.
        pop = high_q <= Beat ? need : (reach >= Beat ? 2'd1 : 2'd0);
      end
      emit = enough && !bad && !error_q && gate_i && (!valid_q || ready_i);
      if (!emit) pop = '0;
    end
  end

  assign pop_o = pop;
  assign emit_o = emit;
  assign run_next_o = run_valid_i && (!active_q || (emit && finish));
  assign starved_o = active_q && !enough;
  assign error_o = error_q;
  assign slot_o = slot_q;
  assign valid_o = valid_q;
  assign addr_o = out_addr_q;
  assign data_o = data_q;
  assign strb_o = strb_q;
  assign run_end_o = run_end_q;
  assign instr_end_o = instr_end_q;

  always_ff @(posedge clk_i) begin : chunk
    automatic int unsigned          l;
    automatic logic [3*BeatBits-1:0] wide;
    automatic logic [7:0]           data [BeatBytes];
    automatic logic [BeatBytes-1:0] strb, inner;
    automatic rel_t                 to, base;
    if (!tick_i) begin
    end else if (!rst_ni || clear_i) begin
      active_q <= 1'b0;
      valid_q <= 1'b0;
      error_q <= 1'b0;
    end else if (active_q || valid_q || run_valid_i) begin
      if (bad) error_q <= 1'b1;
      if (valid_q && ready_i) valid_q <= 1'b0;
      if (emit) begin
        // Lanes [first, end) belong to the run, of those [low, high) carry data, the others fill.
        strb = {BeatBytes{1'b1}} << first_q;
        if (end_q < Beat) strb = strb & ~({BeatBytes{1'b1}} << end_q[BeatShift-1:0]);
        inner = '0;
        if (has_data) begin
          inner = '1;
          if (low_q > 0) inner = inner << low_q[BeatShift-1:0];
          if (high_q < Beat) inner = inner & ~({BeatBytes{1'b1}} << high_q[BeatShift-1:0]);
        end
        wide = {beat1_i, beat0_i, BeatBits'(0)} >> {(BeatShift+1)'(shift_q + Beat), 3'b000};
        `NPU_FOR(l, BeatBytes)
          data[l] = inner[l] ? wide[8*l +: 8] : fill_q;
        `NPU_END_FOR
        data_q <= data;
        strb_q <= strb;
        out_addr_q <= addr_q;
        run_end_q <= finish;
        instr_end_q <= finish && last_q;
        valid_q <= 1'b1;
        addr_q <= addr_q + AddrBits'(BeatBytes);
        first_q <= '0;
        end_q <= end_q - Beat;
        low_q <= low_q - Beat;
        high_q <= high_q - Beat;
        shift_q <= shift_q + (pop == 2'd0 ? Beat : (pop == 2'd1 ? '0 : -Beat));
        if (finish) active_q <= 1'b0;
      end
      if (run_next_o) begin
        to = rel_t'({1'b0, run_to_i[BeatShift-1:0]});
        base = to + rel_t'({1'b0, run_before_i});
        active_q <= 1'b1;
        slot_q <= run_slot_i;
        last_q <= run_last_i;
        addr_q <= {run_to_i[AddrBits-1:BeatShift], BeatShift'(0)};
        first_q <= run_to_i[BeatShift-1:0];
        end_q <= to + rel_t'({1'b0, run_bytes_i});
        low_q <= base;
        high_q <= base + rel_t'({1'b0, run_data_i});
        shift_q <= rel_t'({1'b0, run_from_i}) - base;
        fill_q <= run_fill_i;
        if (run_bad_i) error_q <= 1'b1;
      end
    end
  end
endmodule
