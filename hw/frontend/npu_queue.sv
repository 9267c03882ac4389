// Instructions of one engine that wait for their tokens: queue_depth entries, the head of them in a
// register, since the engine looks at it every cycle.

module npu_queue
  import npu_isa_pkg::*;
(
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  logic                 push_i,
  input  logic [InstrBits-1:0] instr_i,
  input  logic [31:0]          index_i,
  output logic                 full_o,
  output logic                 valid_o,
  output logic [InstrBits-1:0] instr_o,
  output logic [31:0]          index_o,
  output logic [3:0]           pop_o,
  output logic [3:0]           push_o,
  input  logic                 take_i
);
  localparam int unsigned Depth = npu_arch_pkg::QueueDepth;
  localparam int unsigned Rows = 2 ** $clog2(Depth);
  localparam int unsigned PtrBits = $clog2(Depth) + 1;

  logic [InstrBits-1:0] instr_q [Rows];
  logic [31:0]          index_q [Rows];
  logic [PtrBits-1:0]   wr_q, rd_q;
  logic                 valid_q, full_q;
  logic [InstrBits-1:0] head_q;
  logic [31:0]          head_index_q;

  always_ff @(posedge clk_i) begin : queue
    automatic logic [PtrBits-1:0] wr, rd;
    automatic logic               valid;
    if (!rst_ni || clear_i) begin
      wr_q <= '0;
      rd_q <= '0;
      valid_q <= 1'b0;
      full_q <= 1'b0;
    end else if (push_i || take_i) begin
      wr = wr_q;
      rd = rd_q;
      valid = valid_q && !take_i;
      if (!valid && rd != wr) begin
        head_q <= instr_q[rd[PtrBits-2:0]];
        head_index_q <= index_q[rd[PtrBits-2:0]];
        rd = rd + PtrBits'(1);
        valid = 1'b1;
      end
      if (push_i && !valid) begin
        head_q <= instr_i;
        head_index_q <= index_i;
        valid = 1'b1;
      end else if (push_i) begin
        instr_q[wr[PtrBits-2:0]] <= instr_i;
        index_q[wr[PtrBits-2:0]] <= index_i;
        wr = wr + PtrBits'(1);
      end
      wr_q <= wr;
      rd_q <= rd;
      valid_q <= valid;
      full_q <= (wr - rd) == PtrBits'(Depth - 1);
    end
  end

  /*verilator lint_off UNUSEDSIGNAL*/  // only the token masks
  header_t header;
  /*verilator lint_on UNUSEDSIGNAL*/
  assign header = header_t'(head_q);
  assign full_o = full_q;
  assign valid_o = valid_q;
  assign instr_o = head_q;
  assign index_o = head_index_q;
  assign pop_o = header.pop;
  assign push_o = header.push;
endmodule
