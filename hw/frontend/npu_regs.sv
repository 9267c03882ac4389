// The AXI4-Lite register file of npu.textproto, laid out as a Vitis kernel's control block.

module npu_regs
  import npu_isa_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        s_axil_awvalid_i,
  output logic        s_axil_awready_o,
  /*verilator lint_off UNUSEDSIGNAL*/  // words only
  input  logic [11:0] s_axil_awaddr_i,
  /*verilator lint_on UNUSEDSIGNAL*/
  input  logic        s_axil_wvalid_i,
  output logic        s_axil_wready_o,
  input  logic [31:0] s_axil_wdata_i,
  input  logic [3:0]  s_axil_wstrb_i,
  output logic        s_axil_bvalid_o,
  input  logic        s_axil_bready_i,
  output logic [1:0]  s_axil_bresp_o,
  input  logic        s_axil_arvalid_i,
  output logic        s_axil_arready_o,
  input  logic [11:0] s_axil_araddr_i,
  output logic        s_axil_rvalid_o,
  input  logic        s_axil_rready_i,
  output logic [31:0] s_axil_rdata_o,
  output logic [1:0]  s_axil_rresp_o,
  output logic        go_o,          // level from the write of start until the run is under way
  output logic [63:0] program_o,
  output logic [63:0] arg_o [RegArgCount],
  input  logic        running_i,
  input  logic        done_i,
  input  logic [3:0]  status_i,
  input  logic [31:0] error_index_i,
  input  logic [63:0] cycles_i,
  output logic        counter_read_o,
  output logic [5:0]  counter_index_o,
  input  logic [63:0] counter_i,      // of counter_index_o, in the same cycle
  output logic        interrupt_o
);
  localparam logic [1:0] Okay = 2'b00;
  localparam logic [1:0] SlvErr = 2'b10;

  logic        start_q, done_q, under_way_q;
  logic        global_q, enable_q, pending_q;
  logic [63:0] program_q;
  logic [63:0] arg_q [RegArgCount];
  logic        bvalid_q, rvalid_q;
  logic [1:0]  bresp_q, rresp_q;
  logic [31:0] rdata_q;

  logic write, read;
  assign write = s_axil_awvalid_i && s_axil_wvalid_i && !bvalid_q;
  assign read = s_axil_arvalid_i && !rvalid_q;
  assign s_axil_awready_o = write;
  assign s_axil_wready_o = write;
  assign s_axil_arready_o = read;
  assign s_axil_bvalid_o = bvalid_q;
  assign s_axil_bresp_o = bresp_q;
  assign s_axil_rvalid_o = rvalid_q;
  assign s_axil_rdata_o = rdata_q;
  assign s_axil_rresp_o = rresp_q;
  assign go_o = start_q && !under_way_q;
  assign program_o = program_q;
  assign arg_o = arg_q;
  assign counter_read_o = read;
  assign counter_index_o = read ? 6'((s_axil_araddr_i - RegCounter) >> 3) : '0;
  assign interrupt_o = global_q && enable_q && pending_q;

  function automatic logic [31:0] merge(logic [31:0] old, logic [31:0] data, logic [3:0] strb);
    return {strb[3] ? data[31:24] : old[31:24], strb[2] ? data[23:16] : old[23:16],
            strb[1] ? data[15:8] : old[15:8], strb[0] ? data[7:0] : old[7:0]};
  endfunction

  function automatic logic in_register(logic [11:0] addr, logic [11:0] base, int unsigned count);
    return addr >= base && addr < base + 12'(8 * count);
  endfunction

  function automatic logic [31:0] half(logic [63:0] value, logic high);
    return high ? value[63:32] : value[31:0];
  endfunction

  always_ff @(posedge clk_i) begin : access
    automatic logic [11:0] a;
    automatic logic [2:0]  n;
    automatic logic [31:0] word;
    if (!rst_ni) begin
      start_q <= 1'b0;
      under_way_q <= 1'b0;
      done_q <= 1'b0;
      global_q <= 1'b0;
      enable_q <= 1'b0;
      pending_q <= 1'b0;
      program_q <= '0;
      arg_q <= '{default: '0};
      bvalid_q <= 1'b0;
      rvalid_q <= 1'b0;
    end else if (write || read || bvalid_q || rvalid_q || done_i || running_i != under_way_q) begin
      if (bvalid_q && s_axil_bready_i) bvalid_q <= 1'b0;
      if (rvalid_q && s_axil_rready_i) rvalid_q <= 1'b0;
      if (running_i) under_way_q <= 1'b1;
      if (read) begin
        a = {s_axil_araddr_i[11:2], 2'b00};
        rvalid_q <= 1'b1;
        rresp_q <= Okay;
        rdata_q <= '0;
        if (a == RegControl) begin
          rdata_q <= {28'b0, done_q, !start_q, done_q, start_q};
          done_q <= 1'b0;
        end else if (a == RegInterruptGlobal) rdata_q <= 32'(global_q);
        else if (a == RegInterruptEnable) rdata_q <= 32'(enable_q);
        else if (a == RegInterruptStatus) rdata_q <= 32'(pending_q);
        else if (in_register(a, RegProgram, 1)) rdata_q <= half(program_q, a[2]);
        else if (in_register(a, RegArg, RegArgCount)) begin
          n = 3'((a - RegArg) >> 3);
          rdata_q <= half(arg_q[n], a[2]);
        end else if (in_register(a, RegFingerprint, 1)) begin
          rdata_q <= half(npu_arch_pkg::Fingerprint, a[2]);
        end else if (a == RegStatus) rdata_q <= 32'(status_i);
        else if (a == RegErrorIndex) rdata_q <= error_index_i;
        else if (in_register(a, RegCycles, 1)) rdata_q <= half(cycles_i, a[2]);
        else if (in_register(a, RegCounter, RegCounterCount)) begin
          rdata_q <= half(counter_i, a[2]);
        end else rresp_q <= SlvErr;
      end
      if (write) begin
        a = {s_axil_awaddr_i[11:2], 2'b00};
        word = s_axil_wdata_i;
        bvalid_q <= 1'b1;
        bresp_q <= Okay;
        if (a == RegControl) begin
          if (s_axil_wstrb_i[0] && word[0]) start_q <= 1'b1;
        end else if (a == RegInterruptGlobal) begin
          if (s_axil_wstrb_i[0]) global_q <= word[0];
        end else if (a == RegInterruptEnable) begin
          if (s_axil_wstrb_i[0]) enable_q <= word[0];
        end else if (a == RegInterruptStatus) begin
          if (s_axil_wstrb_i[0] && word[0]) pending_q <= 1'b0;
        end else if (in_register(a, RegProgram, 1)) begin
          word = merge(half(program_q, a[2]), word, s_axil_wstrb_i);
          program_q <= a[2] ? {word, program_q[31:0]} : {program_q[63:32], word};
        end else if (in_register(a, RegArg, RegArgCount)) begin
          n = 3'((a - RegArg) >> 3);
          word = merge(half(arg_q[n], a[2]), word, s_axil_wstrb_i);
          // Argument 0 is always zero.
          if (n != '0) arg_q[n] <= a[2] ? {word, arg_q[n][31:0]} : {arg_q[n][63:32], word};
        end else bresp_q <= SlvErr;
      end
      if (done_i) begin
        start_q <= 1'b0;
        under_way_q <= 1'b0;
        done_q <= 1'b1;
        if (enable_q) pending_q <= 1'b1;
      end
    end
  end
endmodule
