// LOAD: DRAM to IBUF, WBUF, VMEM, PARAM and TABLE.
//
//   npu_dma_queue ─┬─ npu_run_walk (ask)  ─┬─ npu_burst_gen ─ AR
//                  ├─ npu_gather ──────────┤
//                  └─ npu_run_walk (fill) ─┴─ npu_realign ─ memory write port
//                        R ─ npu_window_fifo ─┘
// The asking side runs ahead by as much data as the FIFO has room for; the filling side walks the
// same runs again. R is always ready, since room was set aside before the address went out. Rows of
// a gather are walked like other runs, but for their DRAM addresses, which come from npu_gather.

`include "npu_macros.svh"

module npu_load
  import npu_dma_pkg::*;
(
  input  logic                             clk_i,
  input  logic                             rst_ni,
  input  logic                             clear_i,
  input  logic                             halt_i,
  input  logic [63:0]                      arg_i [8],
  input  logic                             instr_valid_i,
  output logic                             instr_ready_o,
  input  logic [npu_isa_pkg::InstrBits-1:0] instr_i,
  input  logic [31:0]                      instr_index_i,
  output logic                             done_o,
  output logic                             error_valid_o,
  output logic [3:0]                       error_code_o,
  output logic [31:0]                      error_index_o,
  output logic                             busy_o,
  output logic [1:0]                       blocked_o,
  output logic                             quiet_o,      // nothing outstanding on the bus
  output logic                             load_wr_valid_o,
  input  logic                             load_wr_ready_i,
  output npu_isa_pkg::buffer_e             load_wr_buffer_o,
  output logic [23:0]                      load_wr_addr_o,
  output logic [7:0]                       load_wr_data_o [BeatBytes],
  output logic [BeatBytes-1:0]             load_wr_strb_o,
  output logic                             m_axi_arvalid_o,
  input  logic                             m_axi_arready_i,
  output logic [63:0]                      m_axi_araddr_o,
  output logic [7:0]                       m_axi_arlen_o,
  input  logic                             m_axi_rvalid_i,
  output logic                             m_axi_rready_o,
  input  logic [BeatBits-1:0]              m_axi_rdata_i,
  input  logic [1:0]                       m_axi_rresp_i,
  input  logic                             m_axi_rlast_i
);
  localparam int unsigned Slots = npu_arch_pkg::LoadInflight;
  localparam int unsigned PtrBits = $clog2(Slots) + 1;
  localparam int unsigned Depth = npu_arch_pkg::LoadBufferBytes / BeatBytes;
  localparam int unsigned RoomBits = $clog2(Depth) + 1;
  localparam int unsigned BurstBeats = burst_beats(npu_arch_pkg::LoadBufferBytes);
  localparam int unsigned BurstBits = $clog2(npu_arch_pkg::LoadBursts + 1);
  localparam int unsigned Tags = 2 ** $clog2(npu_arch_pkg::LoadBursts);
  localparam int unsigned TagBits = $clog2(Tags);
  // A burst of indices is short: their rows have many times more beats, and wait for it.
  localparam int unsigned ListBeats = BurstBeats < 8 ? BurstBeats : 8;

  // Instruction to descriptor, only when one is taken.
  desc_t       desc;
  logic [24:0] size;
  always_comb begin : decode
    /*verilator lint_off UNUSEDSIGNAL*/  // the header is the dispatcher's
    automatic npu_isa_pkg::load_t f;
    /*verilator lint_on UNUSEDSIGNAL*/
    desc = '0;
    size = '0;
    f = '0;
    if (instr_valid_i && instr_ready_o) begin
      f = npu_isa_pkg::load_t'(instr_i);
      desc.index = instr_index_i;
      desc.buffer = f.buffer;
      desc.fill = f.fill;
      desc.n0 = f.n0;
      desc.n1 = f.n1;
      desc.n2 = f.n2;
      desc.n3 = f.n3;
      desc.before0 = f.before0;
      desc.after0 = f.after0;
      desc.before1 = f.before1;
      desc.after1 = f.after1;
      desc.chip = f.dst;
      desc.chip1 = f.d1;
      desc.chip2 = f.d2;
      desc.chip3 = f.d3;
      desc.dram = arg_i[f.arg] + 64'(f.dram);
      desc.dram1 = f.s1;
      desc.dram2 = f.s2;
      desc.dram3 = f.s3;
      desc.gather = f.gather;
      desc.list = arg_i[f.index_arg] + 64'(f.index_dram);
      desc.limit = f.index_limit;
      if (f.buffer != npu_isa_pkg::BufferObuf) size = npu_arch_pkg::buffer_bytes(f.buffer)[24:0];
    end
  end

  desc_t              slot [Slots];
  /*verilator lint_off UNUSEDSIGNAL*/  // the wrap bit of head
  logic [PtrBits-1:0] head, tail;
  /*verilator lint_on UNUSEDSIGNAL*/
  logic               active, free, done_q;
  // With nothing in the engine and nothing on the bus, no register of it changes. One test instead
  // of one per register: a sleeping engine costs the simulator almost nothing.
  logic               tick;
  assign tick = !rst_ni || clear_i || instr_valid_i || active || m_axi_arvalid_o || m_axi_rvalid_i
                || done_q;
  logic               queue_error;
  logic [3:0]         queue_code;
  logic [31:0]        queue_index;
  npu_dma_queue #(.Slots(Slots)) u_queue (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .halt_i,
    .valid_i(instr_valid_i), .ready_o(instr_ready_o), .desc_i(desc), .size_i(size),
    .free_i(free), .slot_o(slot), .head_o(head), .tail_o(tail), .active_o(active),
    .error_valid_o(queue_error), .error_code_o(queue_code), .error_index_o(queue_index)
  );

  // Asking side.
  logic                ask_valid, ask_next, issue;
  logic [63:0]         ask_dram;
  logic [19:0]         ask_data;
  logic [8:0]          issue_beats;
  logic [RoomBits-1:0] room_q;
  logic [BurstBits-1:0] bursts_q;
  logic [PtrBits-2:0]  ask_slot;
  logic                unused_last;
  logic [23:0]         unused_chip;
  logic [19:0]         unused_bytes, unused_before;
  npu_run_walk #(.Slots(Slots)) u_ask (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .slot_i(slot), .tail_i(tail), .next_i(ask_next),
    .valid_o(ask_valid), .slot_o(ask_slot), .last_o(unused_last), .chip_o(unused_chip),
    .dram_o(ask_dram), .bytes_o(unused_bytes), .before_o(unused_before), .data_o(ask_data)
  );
  // Indices go before what the runs ask for, but not between the bursts of one. A run that asks for
  // nothing passes at once: filling, which needs nothing for it either, must not overtake asking and
  // free an instruction that is still walked here.
  logic                list_valid, list, list_next, middle, burst_next;
  logic [63:0]         list_dram;
  logic [19:0]         list_bytes;
  logic                ask_gather, row_valid, row_good, row_next;
  logic [63:0]         row_dram;
  logic                run_valid;
  logic [63:0]         run_dram;
  logic [19:0]         run_data;
  assign ask_gather = ask_valid && slot[ask_slot].gather;
  assign list = list_valid && !middle && !(ask_valid && !ask_gather && ask_data == '0);
  assign list_next = burst_next && list;
  assign ask_next = burst_next && !list;
  assign row_next = ask_next && ask_gather;
  always_comb begin
    run_valid = ask_valid;
    run_dram = ask_dram;
    run_data = ask_data;
    if (list) begin
      run_valid = 1'b1;
      run_dram = list_dram;
      run_data = list_bytes;
    end else if (ask_gather) begin
      run_valid = row_valid;
      run_dram = row_dram;
      if (!row_good) run_data = '0;
    end
  end
  npu_burst_gen #(.BurstBeats(BurstBeats), .RoomBits(RoomBits)) u_burst (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .halt_i,
    .run_valid_i(run_valid), .run_dram_i(run_dram), .run_data_i(run_data), .run_next_o(burst_next),
    .room_i(list ? RoomBits'(ListBeats) : room_q),
    .slot_free_i(bursts_q != BurstBits'(npu_arch_pkg::LoadBursts)),
    .middle_o(middle), .issue_o(issue), .issue_beats_o(issue_beats),
    .valid_o(m_axi_arvalid_o), .ready_i(m_axi_arready_i), .addr_o(m_axi_araddr_o),
    .len_o(m_axi_arlen_o)
  );

  // Which of the bursts that are out are of indices; survives clear_i, as their beats do.
  logic               tag_q [Tags];
  logic [TagBits-1:0] tag_wr_q, tag_rd_q;
  logic               list_beat, data_beat;
  assign list_beat = m_axi_rvalid_i && tag_q[tag_rd_q];
  assign data_beat = m_axi_rvalid_i && !tag_q[tag_rd_q];
  always_ff @(posedge clk_i) begin : tags
    if (!tick) begin
    end else if (!rst_ni) begin
      tag_wr_q <= '0;
      tag_rd_q <= '0;
    end else begin
      if (issue) begin
        tag_q[tag_wr_q] <= list;
        tag_wr_q <= tag_wr_q + TagBits'(1);
      end
      if (m_axi_rvalid_i && m_axi_rlast_i) tag_rd_q <= tag_rd_q + TagBits'(1);
    end
  end

  logic                 place_valid, place_next;
  logic [BeatShift-1:0] place_from;
  logic [3:0]           place_code;
  npu_gather #(.Slots(Slots), .BurstBeats(ListBeats)) u_gather (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .slot_i(slot), .tail_i(tail),
    .ask_valid_o(list_valid), .ask_dram_o(list_dram), .ask_bytes_o(list_bytes),
    .ask_next_i(list_next),
    .push_i(list_beat), .data_i(m_axi_rdata_i), .error_i(m_axi_rresp_i != 2'b00),
    .row_valid_o(row_valid), .row_dram_o(row_dram), .row_good_o(row_good), .row_next_i(row_next),
    .place_valid_o(place_valid), .place_from_o(place_from), .place_code_o(place_code),
    .place_next_i(place_next)
  );

  // Filling side.
  logic                fill_valid, fill_last, fill_next;
  logic [PtrBits-2:0]  fill_slot, chunk_slot;
  logic [23:0]         fill_chip;
  /*verilator lint_off UNUSEDSIGNAL*/  // only the position in a beat
  logic [63:0]         fill_dram;
  /*verilator lint_on UNUSEDSIGNAL*/
  logic [19:0]         fill_bytes, fill_before, fill_data;
  logic [7:0]          fill_byte;
  logic [1:0]          count, pop;
  logic [BeatBits-1:0] beat0, beat1;
  logic                error0, error1;
  logic                unused_emit, unused_run_end, instr_end, starved, read_error;
  npu_run_walk #(.Slots(Slots)) u_fill (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .slot_i(slot), .tail_i(tail), .next_i(fill_next),
    .valid_o(fill_valid), .slot_o(fill_slot), .last_o(fill_last), .chip_o(fill_chip),
    .dram_o(fill_dram), .bytes_o(fill_bytes), .before_o(fill_before), .data_o(fill_data)
  );
  npu_window_fifo #(.Depth(Depth)) u_data (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick),
    .push_i(data_beat), .data_i(m_axi_rdata_i), .error_i(m_axi_rresp_i != 2'b00),
    .pop_i(pop), .count_o(count), .beat0_o(beat0), .beat1_o(beat1),
    .error0_o(error0), .error1_o(error1)
  );
  assign fill_byte = fill_next ? slot[fill_slot].fill : '0;
  logic                 fill_gather, fill_bad;
  logic [BeatShift-1:0] fill_from;
  logic [3:0]           code_q;  // of the bad run that was reached
  assign fill_gather = fill_valid && slot[fill_slot].gather;
  assign fill_from = fill_gather ? place_from : fill_dram[BeatShift-1:0];
  assign fill_bad = fill_gather && place_code != npu_isa_pkg::ErrorOk;
  assign place_next = fill_next && fill_gather;
  npu_realign #(.SlotBits(PtrBits - 1), .AddrBits(24)) u_realign (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .gate_i(!halt_i),
    .run_valid_i(fill_valid && (!fill_gather || place_valid)),
    .run_slot_i(fill_slot), .run_last_i(fill_last),
    .run_to_i(fill_chip), .run_from_i(fill_from), .run_bytes_i(fill_bytes),
    .run_before_i(fill_before), .run_data_i(fill_data), .run_fill_i(fill_byte),
    .run_bad_i(fill_bad), .run_next_o(fill_next),
    .count_i(count), .beat0_i(beat0), .beat1_i(beat1), .error0_i(error0), .error1_i(error1),
    .pop_o(pop), .emit_o(unused_emit),
    .valid_o(load_wr_valid_o), .ready_i(load_wr_ready_i), .addr_o(load_wr_addr_o),
    .data_o(load_wr_data_o), .strb_o(load_wr_strb_o),
    .run_end_o(unused_run_end), .instr_end_o(instr_end),
    .starved_o(starved), .error_o(read_error), .slot_o(chunk_slot)
  );

  // The output register always holds a chunk of the oldest instruction.
  assign load_wr_buffer_o = npu_isa_pkg::buffer_e'(slot[head[PtrBits-2:0]].buffer);
  assign m_axi_rready_o = 1'b1;

  logic write;
  assign write = load_wr_valid_o && load_wr_ready_i;
  assign free = write && instr_end;
  assign done_o = done_q;

  logic [RoomBits-1:0] flying_q;  // beats asked for and not arrived; survives clear_i
  always_ff @(posedge clk_i) begin : credits
    if (!tick) begin
    end else if (!rst_ni) begin
      flying_q <= '0;
      bursts_q <= '0;
      room_q <= RoomBits'(Depth);
      code_q <= npu_isa_pkg::ErrorDramRead;
      done_q <= 1'b0;
    end else begin
      if (issue || m_axi_rvalid_i) begin
        flying_q <= flying_q + (issue ? RoomBits'(issue_beats) : '0) - RoomBits'(m_axi_rvalid_i);
        bursts_q <= bursts_q + BurstBits'(issue) - BurstBits'(m_axi_rvalid_i && m_axi_rlast_i);
      end
      if (clear_i) room_q <= RoomBits'(Depth);
      else if (issue || pop != '0) begin
        room_q <= room_q - (issue && !list ? RoomBits'(issue_beats) : '0) + RoomBits'(pop);
      end
      if (clear_i) code_q <= npu_isa_pkg::ErrorDramRead;
      else if (fill_next && fill_bad) code_q <= place_code;
      done_q <= free;
    end
  end

  assign quiet_o = flying_q == '0 && !m_axi_arvalid_o;
  assign busy_o = write || (m_axi_rvalid_i && active);
  always_comb begin
    blocked_o = 2'd0;
    if (active) begin
      if (load_wr_valid_o && !load_wr_ready_i) blocked_o = 2'd2;
      else if (starved || (fill_gather && !place_valid)) blocked_o = 2'd1;
    end
  end
  // A read error belongs to an older instruction than one that the queue refuses.
  assign error_valid_o = read_error || queue_error;
  assign error_code_o = read_error ? code_q : queue_code;
  assign error_index_o = read_error ? slot[chunk_slot].index : queue_index;

  `NPU_ASSERT(LoadRoom, room_q <= RoomBits'(Depth), "LOAD: data FIFO overrun")
  `NPU_ASSERT(LoadAsked, !m_axi_rvalid_i || flying_q != '0, "LOAD: read data that nobody asked for")
endmodule
