// What LOAD and STORE share: sizes of their datapath, and how they keep an instruction.

package npu_dma_pkg;
  localparam int unsigned BeatBytes = npu_arch_pkg::DramBytes;
  localparam int unsigned BeatBits = 8 * BeatBytes;
  // Byte positions within a beat; a width of its own for the shifts that divide by the beat.
  localparam int unsigned BeatShift = $clog2(BeatBytes);
  // Byte counts relative to a beat: a run of 2^20 bytes plus an offset, signed.
  localparam int unsigned RelBits = 23;

  // An instruction as both engines see it: runs of n0 bytes under three loops, one address stream
  // on chip and one in DRAM. STORE has no padding and no gather.
  typedef struct packed {
    logic [31:0] index;
    logic [2:0]  buffer;
    logic [7:0]  fill;
    logic [19:0] n0;
    logic [15:0] n1;
    logic [15:0] n2;
    logic [15:0] n3;
    logic [19:0] before0;
    logic [19:0] after0;
    logic [15:0] before1;
    logic [15:0] after1;
    logic [23:0] chip;
    logic [23:0] chip1;  // strides, signed
    logic [23:0] chip2;
    logic [23:0] chip3;
    logic [63:0] dram;
    logic [31:0] dram1;  // strides, signed
    logic [31:0] dram2;
    logic [31:0] dram3;
    logic        gather;  // LOAD alone: the runs of loop 1 are picked by the words from `list` on
    logic [63:0] list;
    logic [31:0] limit;
  } desc_t;

  // Longest burst: AXI's 256 beats and 4 KiB, and an eighth of the data buffer, so that waiting for
  // room never leaves less than seven eighths of it in flight.
  function automatic int unsigned burst_beats(int unsigned buffer_bytes);
    int unsigned beats;
    beats = buffer_bytes / BeatBytes / 8;
    if (beats > 256) beats = 256;
    if (beats > 4096 / BeatBytes) beats = 4096 / BeatBytes;
    return beats == 0 ? 1 : beats;
  endfunction
endpackage
