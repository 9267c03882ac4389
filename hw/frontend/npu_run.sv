// A run from start to done: clears the machine, counts its cycles, notices its end, keeps the first
// error, and gives up when nothing retires for watchdog_cycles.
//
// After an error the run ends when the bus is quiet; if it never is (a slave that does not answer),
// another watchdog_cycles later: then only a reset makes the machine usable again.

module npu_run
  import npu_isa_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        go_i,           // start asked for; ignored while running
  output logic        clear_o,        // one cycle before start_o
  output logic        start_o,
  output logic        running_o,      // from the cycle after start_o to the last one
  output logic        halt_o,
  output logic        done_o,         // one cycle
  input  logic        end_i,          // the program's end was fetched
  input  logic        fetch_valid_i,  // an instruction is on its way into a queue
  input  logic [3:0]  waiting_i,
  input  logic [3:0]  flying_i,
  input  logic [3:0]  retire_i,
  input  logic [31:0] oldest_i [NumEngines],
  input  logic [31:0] fetch_index_i,  // of the instruction that fetch is at
  input  logic        quiet_i,
  input  logic [3:0]  error_valid_i,
  input  logic [3:0]  error_code_i [NumEngines],
  input  logic [31:0] error_index_i [NumEngines],
  input  logic        fetch_error_i,
  input  logic [3:0]  fetch_code_i,
  output logic [3:0]  status_o,
  output logic [31:0] error_index_o,
  output logic [63:0] cycles_o
);
  localparam int unsigned DogBits = $clog2(npu_arch_pkg::WatchdogCycles + 1);

  logic               clear_q, start_q, running_q, done_q, halt_q;
  logic [3:0]         status_q;
  logic [31:0]        index_q;
  logic [63:0]        cycles_q;
  logic [DogBits-1:0] dog_q;
  logic               empty;

  assign empty = end_i && !fetch_valid_i && waiting_i == '0 && flying_i == '0;

  always_ff @(posedge clk_i) begin : control
    automatic logic        found;
    automatic logic [3:0]  code;
    automatic logic [31:0] index;
    if (!rst_ni) begin
      clear_q <= 1'b0;
      start_q <= 1'b0;
      running_q <= 1'b0;
      done_q <= 1'b0;
      halt_q <= 1'b0;
      status_q <= ErrorOk;
      index_q <= '0;
      cycles_q <= '0;
    end else if (running_q) begin
      cycles_q <= cycles_q + 64'd1;
      dog_q <= dog_q + DogBits'(1);
      if (retire_i != '0 && !halt_q) dog_q <= '0;
      if (halt_q) begin
        if (quiet_i || dog_q == DogBits'(npu_arch_pkg::WatchdogCycles)) begin
          running_q <= 1'b0;
          done_q <= 1'b1;
        end
      end else if (error_valid_i != '0 || fetch_error_i) begin
        // Of errors in one cycle the first in program order; fetch is ahead of all engines.
        found = 1'b0;
        code = fetch_code_i;
        index = fetch_index_i;
        for (int unsigned e = 0; e < NumEngines; e++) begin
          if (error_valid_i[e] && (!found || error_index_i[e] < index)) begin
            found = 1'b1;
            code = error_code_i[e];
            index = error_index_i[e];
          end
        end
        halt_q <= 1'b1;
        dog_q <= '0;
        status_q <= code;
        index_q <= index;
      end else if (dog_q == DogBits'(npu_arch_pkg::WatchdogCycles)) begin
        // The oldest instruction that has not finished, or the one that fetch is waiting for.
        index = fetch_index_i;
        for (int unsigned e = 0; e < NumEngines; e++) begin
          if ((flying_i[e] || waiting_i[e]) && oldest_i[e] < index) index = oldest_i[e];
        end
        halt_q <= 1'b1;
        dog_q <= '0;
        status_q <= ErrorWatchdog;
        index_q <= index;
      end else if (empty && quiet_i) begin
        running_q <= 1'b0;
        done_q <= 1'b1;
      end
    end else begin
      done_q <= 1'b0;
      clear_q <= go_i && !clear_q && !start_q;
      start_q <= clear_q;
      if (clear_q) begin
        halt_q <= 1'b0;
        status_q <= ErrorOk;
        index_q <= '0;
        cycles_q <= '0;
        dog_q <= '0;
      end
      if (start_q) running_q <= 1'b1;
    end
  end

  assign clear_o = clear_q;
  assign start_o = start_q;
  assign running_o = running_q;
  assign halt_o = halt_q;
  assign done_o = done_q;
  assign status_o = status_q;
  assign error_index_o = index_q;
  assign cycles_o = cycles_q;
endmodule
