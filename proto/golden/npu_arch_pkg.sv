// Generated from configuration nano4 by proto/codegen; do not edit.
/* verilator lint_off UNUSEDPARAM */
package npu_arch_pkg;
  localparam int unsigned Rows = 4;  // array rows
  localparam int unsigned Cols = 4;  // array columns
  localparam int unsigned Lanes = 4;  // vector lanes
  localparam int unsigned ActBits = 8;  // activation width
  localparam int unsigned WeightBits = 8;  // weight width
  localparam int unsigned AccBits = 32;  // accumulator width
  localparam int unsigned IbufBytes = 8192;  // capacity
  localparam int unsigned IbufRowBytes = 4;
  localparam int unsigned IbufRows = 2048;
  localparam int unsigned WbufBytes = 4096;  // capacity
  localparam int unsigned WbufRowBytes = 4;
  localparam int unsigned WbufRows = 1024;
  localparam int unsigned ObufBytes = 4096;  // capacity
  localparam int unsigned ObufRowBytes = 16;
  localparam int unsigned ObufRows = 256;  // both halves
  localparam int unsigned ObufHalfRows = 128;  // the upper half starts at this row
  localparam int unsigned VmemBytes = 4096;  // capacity
  localparam int unsigned VmemRowBytes = 16;
  localparam int unsigned VmemRows = 256;
  localparam int unsigned ParamBytes = 2048;  // capacity
  localparam int unsigned ParamRowBytes = 32;
  localparam int unsigned ParamRows = 64;
  localparam int unsigned TableBytes = 1024;  // capacity, seen by a program
  localparam int unsigned TableRowBytes = 1024;  // a table
  localparam int unsigned TableRows = 1;  // tables
  localparam int unsigned DramBytes = 4;  // AXI data width in bytes
  localparam int unsigned DramLatencyCycles = 100;  // of the simulated DRAM
  localparam int unsigned QueueDepth = 8;  // instructions waiting per engine
  localparam int unsigned TokenBits = 8;  // width of a token counter
  localparam int unsigned FetchBufferBytes = 1024;  // instruction bytes fetched ahead
  localparam int unsigned WatchdogCycles = 100000;  // without any engine retiring
  localparam int unsigned LoadInflight = 4;  // LOAD instructions in flight
  localparam int unsigned LoadBursts = 256;  // outstanding read bursts
  localparam int unsigned LoadBufferBytes = 1024;  // read data in flight
  localparam int unsigned StoreInflight = 4;  // STORE instructions in flight
  localparam int unsigned StoreBursts = 256;  // outstanding write bursts
  localparam int unsigned StoreBufferBytes = 1024;  // write data in flight
  localparam logic [63:0] Fingerprint = 64'h54e8495edf901404;

  // Capacity of a memory (a npu_isa_pkg::buffer_e); 0 for values that name none.
  function automatic logic [31:0] buffer_bytes(input logic [2:0] buffer);
    unique case (buffer)
      3'd1: return IbufBytes;
      3'd2: return WbufBytes;
      3'd3: return ObufBytes;
      3'd4: return VmemBytes;
      3'd5: return ParamBytes;
      3'd6: return TableBytes;
      default: return 0;
    endcase
  endfunction

  // Bytes of a row of a memory (a npu_isa_pkg::buffer_e); 0 for values that name none.
  function automatic logic [31:0] buffer_row_bytes(input logic [2:0] buffer);
    unique case (buffer)
      3'd1: return IbufRowBytes;
      3'd2: return WbufRowBytes;
      3'd3: return ObufRowBytes;
      3'd4: return VmemRowBytes;
      3'd5: return ParamRowBytes;
      3'd6: return TableRowBytes;
      default: return 0;
    endcase
  endfunction
endpackage
/* verilator lint_on UNUSEDPARAM */
