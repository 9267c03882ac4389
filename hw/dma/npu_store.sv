// STORE: VMEM and IBUF to DRAM.
//
//   npu_dma_queue ─┬─ npu_run_walk (ask)  ─ npu_burst_gen ─ AW
//                  ├─ npu_run_walk (read) ─ npu_chunk_reader ─ memory read port ─ npu_window_fifo ─┐
//                  └─ npu_run_walk (send) ─ npu_realign ─ W ───────────────────────────────────────┘
// Addresses run ahead of data, data never ahead of addresses. An instruction has finished when the
// response to its last burst is back; responses come in order, since all bursts have one ID.
// After `halt_i` no burst starts, and those whose address is out get their data.

`include "npu_macros.svh"

module npu_store
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
  output logic                             store_rd_valid_o,
  input  logic                             store_rd_ready_i,
  output npu_isa_pkg::buffer_e             store_rd_buffer_o,
  output logic [23:0]                      store_rd_addr_o,
  input  logic [7:0]                       store_rd_data_i [BeatBytes],
  output logic                             m_axi_awvalid_o,
  input  logic                             m_axi_awready_i,
  output logic [63:0]                      m_axi_awaddr_o,
  output logic [7:0]                       m_axi_awlen_o,
  output logic                             m_axi_wvalid_o,
  input  logic                             m_axi_wready_i,
  output logic [BeatBits-1:0]              m_axi_wdata_o,
  output logic [BeatBytes-1:0]             m_axi_wstrb_o,
  output logic                             m_axi_wlast_o,
  input  logic                             m_axi_bvalid_i,
  output logic                             m_axi_bready_o,
  input  logic [1:0]                       m_axi_bresp_i
);
  localparam int unsigned Slots = npu_arch_pkg::StoreInflight;
  localparam int unsigned PtrBits = $clog2(Slots) + 1;
  localparam int unsigned Ahead = npu_arch_pkg::StoreBufferBytes / BeatBytes;  // beats
  localparam int unsigned AheadBits = $clog2(Ahead) + 1;
  localparam int unsigned BurstBeats = burst_beats(npu_arch_pkg::StoreBufferBytes);
  localparam int unsigned BurstBits = $clog2(npu_arch_pkg::StoreBursts + 1);
  localparam int unsigned Depth = 16;  // beats read and not sent; covers the port's latency

  // Instruction to descriptor, only when one is taken.
  desc_t       desc;
  logic [24:0] size;
  always_comb begin : decode
    /*verilator lint_off UNUSEDSIGNAL*/  // the header is the dispatcher's
    automatic npu_isa_pkg::store_t f;
    /*verilator lint_on UNUSEDSIGNAL*/
    desc = '0;
    size = '0;
    f = '0;
    if (instr_valid_i && instr_ready_o) begin
      f = npu_isa_pkg::store_t'(instr_i);
      desc.index = instr_index_i;
      desc.buffer = f.buffer;
      desc.n0 = f.n0;
      desc.n1 = f.n1;
      desc.n2 = f.n2;
      desc.n3 = f.n3;
      desc.chip = f.src;
      desc.chip1 = f.l1;
      desc.chip2 = f.l2;
      desc.chip3 = f.l3;
      desc.dram = arg_i[f.arg] + 64'(f.dram);
      desc.dram1 = f.s1;
      desc.dram2 = f.s2;
      desc.dram3 = f.s3;
      if (f.buffer == npu_isa_pkg::BufferIbuf || f.buffer == npu_isa_pkg::BufferVmem) begin
        size = npu_arch_pkg::buffer_bytes(f.buffer)[24:0];
      end
    end
  end

  desc_t              slot [Slots];
  /*verilator lint_off UNUSEDSIGNAL*/  // the wrap bit of head
  logic [PtrBits-1:0] head, tail;
  /*verilator lint_on UNUSEDSIGNAL*/
  logic               active, free, done_q;
  // See npu_load. Whatever is on the bus belongs to an instruction that has not finished.
  logic               tick;
  assign tick = !rst_ni || clear_i || instr_valid_i || active || m_axi_bvalid_i || done_q;
  logic               queue_error;
  logic [3:0]         queue_code;
  logic [31:0]        queue_index;
  npu_dma_queue #(.Slots(Slots)) u_queue (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .halt_i,
    .valid_i(instr_valid_i), .ready_o(instr_ready_o), .desc_i(desc), .size_i(size),
    .free_i(free), .slot_o(slot), .head_o(head), .tail_o(tail), .active_o(active),
    .error_valid_o(queue_error), .error_code_o(queue_code), .error_index_o(queue_index)
  );

  // Addresses.
  logic                 ask_valid, ask_next, ask_last, issue;
  logic [PtrBits-2:0]   ask_slot;
  logic [63:0]          ask_dram;
  logic [19:0]          ask_bytes;
  logic [8:0]           issue_beats;
  logic [AheadBits-1:0] ahead_q;   // beats whose address is out and that are not in the W register
  logic [BurstBits-1:0] bursts_q;  // bursts without response
  logic [23:0]          unused_ask_chip;
  logic [19:0]          unused_ask_before, unused_ask_data;
  logic                 unused_middle;
  npu_run_walk #(.Slots(Slots)) u_ask (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .slot_i(slot), .tail_i(tail), .next_i(ask_next),
    .valid_o(ask_valid), .slot_o(ask_slot), .last_o(ask_last), .chip_o(unused_ask_chip),
    .dram_o(ask_dram), .bytes_o(ask_bytes), .before_o(unused_ask_before), .data_o(unused_ask_data)
  );
  npu_burst_gen #(.BurstBeats(BurstBeats), .RoomBits(AheadBits)) u_burst (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .halt_i,
    .run_valid_i(ask_valid), .run_dram_i(ask_dram), .run_data_i(ask_bytes), .run_next_o(ask_next),
    .room_i(AheadBits'(Ahead) - ahead_q),
    .slot_free_i(bursts_q != BurstBits'(npu_arch_pkg::StoreBursts)),
    .middle_o(unused_middle), .issue_o(issue), .issue_beats_o(issue_beats),
    .valid_o(m_axi_awvalid_o), .ready_i(m_axi_awready_i), .addr_o(m_axi_awaddr_o),
    .len_o(m_axi_awlen_o)
  );

  // Reads of on-chip memory.
  localparam int unsigned RoomBits = $clog2(Depth) + 1;
  logic                read_valid, read_next, read_issue, arrive_q;
  logic [PtrBits-2:0]  read_slot;
  logic [23:0]         read_chip;
  logic [19:0]         read_bytes;
  logic [2:0]          read_buffer, port_buffer;
  logic [RoomBits-1:0] room_q;
  logic                unused_read_last;
  logic [63:0]         unused_read_dram;
  logic [19:0]         unused_read_before, unused_read_data;
  npu_run_walk #(.Slots(Slots)) u_read (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .slot_i(slot), .tail_i(tail), .next_i(read_next),
    .valid_o(read_valid), .slot_o(read_slot), .last_o(unused_read_last), .chip_o(read_chip),
    .dram_o(unused_read_dram), .bytes_o(read_bytes), .before_o(unused_read_before),
    .data_o(unused_read_data)
  );
  assign read_buffer = read_valid ? slot[read_slot].buffer : '0;
  npu_chunk_reader u_reader (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick),
    .run_valid_i(read_valid), .run_buffer_i(read_buffer), .run_chip_i(read_chip),
    .run_bytes_i(read_bytes), .run_next_o(read_next), .room_i(room_q != '0),
    .issue_o(read_issue), .valid_o(store_rd_valid_o), .ready_i(store_rd_ready_i),
    .buffer_o(port_buffer), .addr_o(store_rd_addr_o)
  );
  assign store_rd_buffer_o = npu_isa_pkg::buffer_e'(port_buffer);

  logic [BeatBits-1:0] arrived;
  always_comb begin : pack_read
    automatic int unsigned l;
    arrived = '0;
    if (arrive_q) begin
      `NPU_FOR(l, BeatBytes) arrived[8*l +: 8] = store_rd_data_i[l]; `NPU_END_FOR
    end
  end

  // Data.
  logic                send_valid, send_last, send_next;
  logic [PtrBits-2:0]  send_slot;
  /*verilator lint_off UNUSEDSIGNAL*/  // only the position in a beat, in a burst
  logic [23:0]         send_chip;
  logic [63:0]         chunk_addr;
  /*verilator lint_on UNUSEDSIGNAL*/
  logic [63:0]         send_dram;
  logic [19:0]         send_bytes;
  logic [19:0]         unused_send_before, unused_send_data;
  logic [1:0]          count, pop;
  logic [BeatBits-1:0] beat0, beat1;
  logic                unused_error0, unused_error1, unused_instr_end, unused_error;
  logic                emit, run_end, starved;
  logic [7:0]          chunk_data [BeatBytes];
  logic [PtrBits-2:0]  unused_slot;
  npu_run_walk #(.Slots(Slots)) u_send (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .slot_i(slot), .tail_i(tail), .next_i(send_next),
    .valid_o(send_valid), .slot_o(send_slot), .last_o(send_last), .chip_o(send_chip),
    .dram_o(send_dram), .bytes_o(send_bytes), .before_o(unused_send_before),
    .data_o(unused_send_data)
  );
  npu_window_fifo #(.Depth(Depth)) u_data (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick),
    .push_i(arrive_q), .data_i(arrived), .error_i(1'b0),
    .pop_i(pop), .count_o(count), .beat0_o(beat0), .beat1_o(beat1),
    .error0_o(unused_error0), .error1_o(unused_error1)
  );
  npu_realign #(.SlotBits(PtrBits - 1), .AddrBits(64)) u_realign (
    .clk_i, .rst_ni, .clear_i, .tick_i(tick), .gate_i(ahead_q != '0),
    .run_valid_i(send_valid), .run_slot_i(send_slot), .run_last_i(send_last),
    .run_to_i(send_dram), .run_from_i(send_chip[BeatShift-1:0]), .run_bytes_i(send_bytes),
    .run_before_i('0), .run_data_i(send_bytes), .run_fill_i('0), .run_bad_i(1'b0),
    .run_next_o(send_next),
    .count_i(count), .beat0_i(beat0), .beat1_i(beat1), .error0_i(1'b0), .error1_i(1'b0),
    .pop_o(pop), .emit_o(emit),
    .valid_o(m_axi_wvalid_o), .ready_i(m_axi_wready_i), .addr_o(chunk_addr),
    .data_o(chunk_data), .strb_o(m_axi_wstrb_o),
    .run_end_o(run_end), .instr_end_o(unused_instr_end),
    .starved_o(starved), .error_o(unused_error), .slot_o(unused_slot)
  );
  always_comb begin : pack_write
    automatic int unsigned l;
    m_axi_wdata_o = '0;
    if (m_axi_wvalid_o) begin
      `NPU_FOR(l, BeatBytes) m_axi_wdata_o[8*l +: 8] = chunk_data[l]; `NPU_END_FOR
    end
  end
  // As npu_burst_gen cut them.
  assign m_axi_wlast_o = run_end || (&chunk_addr[BeatShift +: $clog2(BurstBeats)]);
  assign m_axi_bready_o = 1'b1;

  // Responses.
  logic                 read_fire, write_fire, error_q;
  logic [31:0]          error_index_q;
  logic [31:0]          waiting_q [Slots];  // bursts of each instruction without response
  logic [Slots-1:0]     asked_q;            // all addresses of the instruction are out
  logic [PtrBits-2:0]   oldest;
  assign oldest = head[PtrBits-2:0];
  assign read_fire = store_rd_valid_o && store_rd_ready_i;
  assign write_fire = m_axi_wvalid_o && m_axi_wready_i;
  assign free = m_axi_bvalid_i && waiting_q[oldest] == 32'd1 && asked_q[oldest];
  assign done_o = done_q;

  always_ff @(posedge clk_i) begin : credits
    if (!tick) begin
    end else if (!rst_ni) begin
      ahead_q <= '0;
      bursts_q <= '0;
    end else if (issue || emit || m_axi_bvalid_i) begin
      ahead_q <= ahead_q + (issue ? AheadBits'(issue_beats) : '0) - AheadBits'(emit);
      bursts_q <= bursts_q + BurstBits'(issue) - BurstBits'(m_axi_bvalid_i);
    end
    if (!tick) begin
    end else if (!rst_ni || clear_i) begin
      room_q <= RoomBits'(Depth);
      arrive_q <= 1'b0;
    end else begin
      arrive_q <= read_fire;
      if (read_issue || pop != '0) room_q <= room_q - RoomBits'(read_issue) + RoomBits'(pop);
    end
  end

  always_ff @(posedge clk_i) begin : responses
    automatic int unsigned s;
    automatic logic [31:0] waiting [Slots];
    if (!tick) begin
    end else if (!rst_ni || clear_i) begin
      waiting = '{default: '0};
      waiting_q <= waiting;
      asked_q <= '0;
      done_q <= 1'b0;
      error_q <= 1'b0;
    end else begin
      done_q <= free;
      if (issue || ask_next || m_axi_bvalid_i) begin
        waiting = waiting_q;
        if (issue) waiting[ask_slot] = waiting[ask_slot] + 32'd1;
        if (m_axi_bvalid_i) waiting[oldest] = waiting[oldest] - 32'd1;
        waiting_q <= waiting;
        `NPU_FOR(s, Slots)
          if (ask_next && ask_last && ask_slot == (PtrBits-1)'(s)) asked_q[s] <= 1'b1;
          else if (free && oldest == (PtrBits-1)'(s)) asked_q[s] <= 1'b0;
        `NPU_END_FOR
        if (m_axi_bvalid_i && m_axi_bresp_i != 2'b00 && !error_q) begin
          error_q <= 1'b1;
          error_index_q <= slot[oldest].index;
        end
      end
    end
  end

  assign quiet_o = bursts_q == '0 && ahead_q == '0 && !m_axi_awvalid_o && !m_axi_wvalid_o;
  assign busy_o = write_fire || read_fire;
  always_comb begin
    blocked_o = 2'd0;
    if (active) begin
      if (store_rd_valid_o && !store_rd_ready_i && starved) blocked_o = 2'd2;
      else if (m_axi_wvalid_o || bursts_q != '0) blocked_o = 2'd1;
    end
  end
  // An error response belongs to an older instruction than one that the queue refuses.
  assign error_valid_o = error_q || queue_error;
  assign error_code_o = error_q ? npu_isa_pkg::ErrorDramWrite : queue_code;
  assign error_index_o = error_q ? error_index_q : queue_index;

  `NPU_ASSERT(StoreAhead, ahead_q <= AheadBits'(Ahead), "STORE: more beats addressed than allowed")
  `NPU_ASSERT(StoreAnswer, !m_axi_bvalid_i || bursts_q != '0, "STORE: response to no burst")
endmodule
