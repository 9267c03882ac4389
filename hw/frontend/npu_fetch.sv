// Streams the program from DRAM and hands over one instruction after another: opcode, length and
// token masks are checked here, everything else by the engines.
//
// Bursts are asked for as long as the buffer has room, so a program is read at the bus's pace and
// somewhat past its end; what arrives behind `end` is dropped, errors included.

`include "npu_macros.svh"

module npu_fetch (
  input  logic                              clk_i,
  input  logic                              rst_ni,
  input  logic                              clear_i,
  input  logic                              halt_i,
  input  logic                              start_i,      // one cycle, after clear_i
  input  logic [63:0]                       program_i,    // DRAM address, multiple of 16
  output logic                              instr_valid_o,
  input  logic                              instr_ready_i,
  output logic [npu_isa_pkg::InstrBits-1:0] instr_o,      // words beyond length_words are zero
  output npu_isa_pkg::engine_e              instr_engine_o,
  output logic                              end_o,        // `end` was reached; sticky
  output logic                              error_valid_o,
  output logic [3:0]                        error_code_o,
  output logic [31:0]                       index_o,      // of the instruction at hand, or in error
  output logic                              quiet_o,      // nothing outstanding on the bus
  output logic                              m_axi_arvalid_o,
  input  logic                              m_axi_arready_i,
  output logic [63:0]                       m_axi_araddr_o,
  output logic [7:0]                        m_axi_arlen_o,
  input  logic                              m_axi_rvalid_i,
  output logic                              m_axi_rready_o,
  input  logic [8*npu_arch_pkg::DramBytes-1:0] m_axi_rdata_i,
  input  logic [1:0]                        m_axi_rresp_i
);
  import npu_isa_pkg::*;

  localparam int unsigned BeatBytes = npu_arch_pkg::DramBytes;
  localparam int unsigned BeatBits = 8 * BeatBytes;
  localparam int unsigned BeatShift = $clog2(BeatBytes);
  localparam int unsigned Depth = npu_arch_pkg::FetchBufferBytes / BeatBytes;
  localparam int unsigned PtrBits = $clog2(Depth) + 1;
  // A quarter of the buffer, so that three quarters are in flight while room is waited for.
  localparam int unsigned Quarter = Depth / 4;
  localparam int unsigned BurstBeats =
      Quarter < 4096 / BeatBytes ? (Quarter < 256 ? Quarter : 256) : 4096 / BeatBytes;
  localparam int unsigned BlockBits = $clog2(BurstBeats);
  // A word is several beats, or a beat several words; parts are counted for either.
  localparam int unsigned BeatsPerWord = BeatBytes < WordBytes ? WordBytes / BeatBytes : 1;
  localparam int unsigned WordsPerBeat = BeatBytes > WordBytes ? BeatBytes / WordBytes : 1;
  localparam int unsigned Parts = BeatsPerWord * WordsPerBeat;
  localparam int unsigned PartBits = Parts > 1 ? $clog2(Parts) : 1;

  // Bus side.
  logic               run_q;          // more of the program is wanted
  logic               ar_valid_q;
  logic [63:0]        ar_addr_q, next_addr_q;
  logic [7:0]         ar_len_q;
  logic [PtrBits-1:0] room_q, flying_q;  // beats; flying survives clear_i
  logic               stop;           // the program's end or an error was seen
  logic               take;           // a beat leaves the buffer
  logic               ask;
  logic [PtrBits-1:0] block;          // beats to the end of the block that next_addr_q lies in
  assign block = PtrBits'(BurstBeats) - PtrBits'(next_addr_q[BeatShift +: BlockBits]);
  assign ask = run_q && !stop && !halt_i && room_q >= block && (!ar_valid_q || m_axi_arready_i);

  always_ff @(posedge clk_i) begin : bus
    if (!rst_ni) begin
      run_q <= 1'b0;
      ar_valid_q <= 1'b0;
      flying_q <= '0;
      room_q <= PtrBits'(Depth);
    end else if (start_i || ask || ar_valid_q || m_axi_rvalid_i || take || clear_i
                 || (run_q && stop)) begin
      if (ask) begin
        ar_valid_q <= 1'b1;
        ar_addr_q <= next_addr_q;
        ar_len_q <= 8'(block - PtrBits'(1));
        next_addr_q <= next_addr_q + (64'(block) << BeatShift);
      end else if (m_axi_arready_i) begin
        ar_valid_q <= 1'b0;
      end
      flying_q <= flying_q + (ask ? block : '0) - PtrBits'(m_axi_rvalid_i);
      room_q <= clear_i ? PtrBits'(Depth) : room_q - (ask ? block : '0) + PtrBits'(take);
      if (clear_i || stop) run_q <= 1'b0;
      if (start_i) begin
        run_q <= 1'b1;
        next_addr_q <= {program_i[63:BeatShift], BeatShift'(0)};
      end
    end
  end
  assign m_axi_arvalid_o = ar_valid_q;
  assign m_axi_araddr_o = ar_addr_q;
  assign m_axi_arlen_o = ar_len_q;
  assign m_axi_rready_o = 1'b1;
  assign quiet_o = flying_q == '0 && !ar_valid_q;

  // Buffer, its RAM with a registered read, and the beat being taken apart.
  logic [BeatBits-1:0] ram_q [Depth];
  logic                ram_error_q [Depth];
  logic [PtrBits-1:0]  wr_q, rd_q;
  logic                beat_valid_q, beat_error_q;
  logic [BeatBits-1:0] beat_q;
  logic                open_q;       // the word or words at hand are wanted
  logic [PartBits-1:0] part_q;       // of the word (beats) or of the beat (words)
  // Word at hand.
  logic                word_valid;
  logic [WordBits-1:0] word;
  logic                step;         // beat_q is looked at this cycle
  logic                last_part;
  logic                stall;        // the instruction at hand is complete and not taken

  // Assembly.
  logic                 valid_q, end_q, error_q;
  logic [3:0]           code_q;
  logic [InstrBits-1:0] instr_q;
  engine_e              engine_q;
  logic [31:0]          index_q;
  logic [3:0]           words_q;      // words still missing; 0: the next word is a header
  logic [3:0]           at_q;

  assign stop = end_q || error_q;
  assign stall = valid_q && !instr_ready_i;
  assign step = open_q && beat_valid_q && !stall && !stop && !halt_i;
  assign last_part = Parts == 1 || part_q == PartBits'(Parts - 1);
  assign take = step && (BeatsPerWord > 1 || last_part);

  if (BeatBytes < WordBytes) begin : g_gather
    logic [WordBits-BeatBits-1:0] gather_q;  // the beats before
    assign word = {beat_q, gather_q};
    assign word_valid = step && last_part;
    always_ff @(posedge clk_i) if (step) gather_q <= word[WordBits-1:BeatBits];
  end else if (BeatBytes == WordBytes) begin : g_whole
    assign word = beat_q;
    assign word_valid = step;
  end else begin : g_split
    assign word = beat_q[WordBits*part_q +: WordBits];
    assign word_valid = step;
  end

  always_ff @(posedge clk_i) begin : buffer
    if (!rst_ni || clear_i) begin
      wr_q <= '0;
      rd_q <= '0;
      beat_valid_q <= 1'b0;
      open_q <= 1'b0;
    end else if (m_axi_rvalid_i || start_i || step || (!beat_valid_q && rd_q != wr_q)) begin
      if (m_axi_rvalid_i && !stop) begin
        ram_q[wr_q[PtrBits-2:0]] <= m_axi_rdata_i;
        ram_error_q[wr_q[PtrBits-2:0]] <= m_axi_rresp_i != 2'b00;
        wr_q <= wr_q + PtrBits'(1);
      end
      if (take) beat_valid_q <= 1'b0;
      if ((take || !beat_valid_q) && rd_q != wr_q) begin
        beat_q <= ram_q[rd_q[PtrBits-2:0]];
        beat_error_q <= ram_error_q[rd_q[PtrBits-2:0]];
        beat_valid_q <= 1'b1;
        rd_q <= rd_q + PtrBits'(1);
      end
      if (step) part_q <= last_part ? '0 : part_q + PartBits'(1);
      if (start_i) begin
        open_q <= 1'b1;
        part_q <= WordsPerBeat > 1 ? PartBits'(program_i[BeatShift-1:0] >> 4) : '0;
      end
    end
  end

  always_ff @(posedge clk_i) begin : assemble
    automatic logic [7:0] opcode;
    automatic logic [3:0] length, pop, push, self, at;
    automatic logic       bad;
    if (!rst_ni || clear_i) begin
      valid_q <= 1'b0;
      end_q <= 1'b0;
      error_q <= 1'b0;
      words_q <= '0;
      index_q <= '0;
      at_q <= '0;
    end else if (step || (valid_q && instr_ready_i)) begin
      if (valid_q && instr_ready_i) begin
        valid_q <= 1'b0;
        index_q <= index_q + 32'd1;
      end
      if (step && beat_error_q) begin
        error_q <= 1'b1;
        code_q <= ErrorDramRead;
      end else if (word_valid && words_q == '0) begin
        {push, pop, length, opcode} = word[19:0];
        engine_q <= opcode_engine(opcode);
        self = 4'd1 << opcode_engine(opcode);
        bad = !opcode_known(opcode) || !length_legal(length)
              || (opcode != OpcodeEnd && ((pop | push) & self) != '0);
        instr_q <= InstrBits'(word);
        at_q <= 4'd1;
        words_q <= length - 4'd1;
        if (bad) begin
          error_q <= 1'b1;
          code_q <= ErrorIllegal;
        end else if (opcode == OpcodeEnd) begin
          end_q <= 1'b1;
        end else begin
          valid_q <= length == 4'd1;
        end
      end else if (word_valid) begin
        at = at_q;
        instr_q[WordBits*at +: WordBits] <= word;
        at_q <= at + 4'd1;
        words_q <= words_q - 4'd1;
        valid_q <= words_q == 4'd1;
      end
    end
  end

  assign instr_valid_o = valid_q;
  assign instr_o = instr_q;
  assign instr_engine_o = engine_q;
  // A new word is looked at only when the instruction before it is taken: the index has moved on.
  assign index_o = index_q;
  assign end_o = end_q;
  assign error_valid_o = error_q;
  assign error_code_o = code_q;

  `NPU_ASSERT(FetchAsked, !m_axi_rvalid_i || flying_q != '0, "fetch: unasked read data")
endmodule
