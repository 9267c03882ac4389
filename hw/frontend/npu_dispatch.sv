// From the fetched stream to the engines: a queue per engine, the token counters, and the order in
// which each engine's instructions finish. The run's end and its counters: npu_run, npu_account.

`include "npu_macros.svh"

module npu_dispatch
  import npu_isa_pkg::*;
(
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  logic                 halt_i,
  // from npu_fetch
  input  logic                 fetch_valid_i,
  output logic                 fetch_ready_o,
  input  logic [InstrBits-1:0] fetch_instr_i,
  input  engine_e              fetch_engine_i,
  input  logic [31:0]          fetch_index_i,
  // to the engines
  output logic [3:0]           instr_valid_o,
  input  logic [3:0]           instr_ready_i,
  output logic [InstrBits-1:0] instr_o [NumEngines],
  output logic [31:0]          instr_index_o [NumEngines],
  input  logic [3:0]           done_i,
  // to npu_run and npu_account
  output logic [3:0]           waiting_o,      // an instruction is at the head of the queue
  output logic [3:0]           missing_o [NumEngines],  // engines of which it lacks a token
  output logic [3:0]           flying_o,       // instructions in the engine
  output logic [31:0]          oldest_o [NumEngines],   // index, where flying or waiting
  output logic [3:0]           issue_o,
  output logic [3:0]           retire_o,
  output logic [31:0]          retire_index_o [NumEngines]
);
  localparam int unsigned TokenBits = npu_arch_pkg::TokenBits;
  localparam int unsigned InFlight = 16;  // more than any engine takes
  localparam int unsigned OrderBits = $clog2(InFlight);
  typedef logic [TokenBits-1:0] token_t;

  // Queues.
  logic [3:0] full, waiting, take, push;
  logic [3:0] head_pop [NumEngines];
  logic [3:0] head_push [NumEngines];
  assign fetch_ready_o = !full[fetch_engine_i] && !halt_i;
  always_comb begin
    push = '0;
    if (fetch_valid_i && fetch_ready_o) push[fetch_engine_i] = 1'b1;
  end
  for (genvar e = 0; e < NumEngines; e++) begin : g_queue
    npu_queue u_queue (
      .clk_i, .rst_ni, .clear_i,
      .push_i(push[e]), .instr_i(fetch_instr_i), .index_i(fetch_index_i), .full_o(full[e]),
      .valid_o(waiting[e]), .instr_o(instr_o[e]), .index_o(instr_index_o[e]),
      .pop_o(head_pop[e]), .push_o(head_push[e]), .take_i(take[e])
    );
  end

  // Tokens of `from` for `to`, and what the queues need to know of them.
  token_t     token_q [NumEngines][NumEngines];  // [from][to]
  logic [3:0] some_q [NumEngines];               // [to]: from which engines there is one
  logic [3:0] none_left_q [NumEngines];          // [from]: to which engines the counter is full

  // Instructions in flight, oldest first (the entries: g_issue).
  logic [OrderBits-1:0] order_wr_q [NumEngines], order_rd_q [NumEngines];
  logic [OrderBits-1:0] late_q [NumEngines];     // done by the engine, its push not yet made
  logic [3:0]           flying_q, order_full_q, late_some_q;
  // The oldest of them, in registers.
  logic [3:0]           oldest_push [NumEngines];
  logic [31:0]          oldest_index [NumEngines];

  logic [3:0] issue, retire;
  for (genvar e = 0; e < NumEngines; e++) begin : g_issue
    assign missing_o[e] = head_pop[e] & ~some_q[e];
    assign instr_valid_o[e] = waiting[e] && missing_o[e] == '0 && !order_full_q[e] && !halt_i;
    // A memory per engine: as one with four writers they would be flip-flops.
    logic [3:0]  order_push_q [InFlight];
    logic [31:0] order_index_q [InFlight];
    always_ff @(posedge clk_i) begin
      if (issue[e]) begin
        order_push_q[order_wr_q[e]] <= head_push[e];
        order_index_q[order_wr_q[e]] <= instr_index_o[e];
      end
    end
    assign oldest_push[e] = order_push_q[order_rd_q[e]];
    assign oldest_index[e] = order_index_q[order_rd_q[e]];
    assign oldest_o[e] = flying_q[e] ? oldest_index[e] : instr_index_o[e];
  end
  assign issue = instr_valid_o & instr_ready_i;
  always_comb begin
    retire = done_i | late_some_q;
    // Whether a push finds its counter full is looked at only when one is due.
    if (retire != '0) begin
      for (int unsigned e = 0; e < NumEngines; e++) begin
        if ((oldest_push[e] & none_left_q[e]) != '0) retire[e] = 1'b0;
      end
    end
  end
  assign take = issue;

  always_ff @(posedge clk_i) begin : tokens
    automatic token_t               token [NumEngines][NumEngines];
    automatic logic [3:0]           some [NumEngines];
    automatic logic [3:0]           none_left [NumEngines];
    automatic logic [OrderBits-1:0] wr, rd, late;
    if (!rst_ni || clear_i) begin
      token_q <= '{default: '0};
      some_q <= '{default: '0};
      none_left_q <= '{default: '0};
      order_wr_q <= '{default: '0};
      order_rd_q <= '{default: '0};
      late_q <= '{default: '0};
      flying_q <= '0;
      order_full_q <= '0;
      late_some_q <= '0;
    end else if ((issue | retire | done_i) != '0) begin
      token = token_q;
      for (int unsigned from = 0; from < NumEngines; from++) begin
        for (int unsigned to = 0; to < NumEngines; to++) begin
          if (from != to) begin
            token[from][to] = token[from][to]
                + token_t'(retire[from] && oldest_push[from][to])
                - token_t'(issue[to] && head_pop[to][from]);
          end
          some[to][from] = token[from][to] != '0;
          none_left[from][to] = token[from][to] == '1;
        end
      end
      token_q <= token;
      some_q <= some;
      none_left_q <= none_left;
      for (int unsigned e = 0; e < NumEngines; e++) begin
        wr = order_wr_q[e];
        rd = order_rd_q[e];
        late = late_q[e] + OrderBits'(done_i[e]) - OrderBits'(retire[e]);
        if (issue[e]) wr = wr + OrderBits'(1);
        if (retire[e]) rd = rd + OrderBits'(1);
        order_wr_q[e] <= wr;
        order_rd_q[e] <= rd;
        late_q[e] <= late;
        late_some_q[e] <= late != '0;
        flying_q[e] <= wr != rd;
        order_full_q[e] <= wr + OrderBits'(1) == rd;
      end
    end
  end

  assign waiting_o = waiting;
  assign flying_o = flying_q;
  assign issue_o = issue;
  assign retire_o = retire;
  assign retire_index_o = oldest_index;

  `NPU_ASSERT(DispatchDone, (done_i & ~flying_q) == '0, "an engine is done with nothing in it")
endmodule
