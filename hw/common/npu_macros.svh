// Macros of all RTL, and the manner of writing that makes Verilator's model fast (measured numbers:
// README.md beside this file).
//
// - Loops stay loops in the generated C++, so that its compiler vectorises them: NPU_FOR and
//   NPU_END_FOR instead of a bare `for`. Loop variables are `automatic int unsigned`, declared at the
//   head of the process's named block; declared elsewhere, or signed, nothing is vectorised.
// - State that only its own always_ff reads may be updated in place, with blocking assignments
//   between NPU_IN_PLACE_BEGIN and NPU_IN_PLACE_END. Everything that another process reads is
//   assigned non-blocking, whole arrays at a time (by element it is ten times slower).
// - Scratch arrays are module variables: Verilator clears automatic ones at every edge.
// - Memories are declared, read and written by the NPU_RAM macros.
// - Whatever can idle stands under a flag that says so.
`ifndef NPU_MACROS_SVH
`define NPU_MACROS_SVH

// Some things are written twice: as Verilator runs them fastest, and as they are synthesized. The
// second form is simulated too, in the tests that define NPU_AS_SYNTHESIZED.
`ifdef VERILATOR
`ifndef NPU_AS_SYNTHESIZED
`define NPU_FAST_MODEL
`endif
`endif

`define NPU_FOR(i, n) begin /*verilator unroll_disable*/ for (i = 0; i < (n); i++) begin
`define NPU_FOR_DOWN(i, n) begin /*verilator unroll_disable*/ for (i = (n) - 1; i > 0; i--) begin
`define NPU_END_FOR end end
// The one iteration i == index of a loop over i < n; closed by NPU_END_FOR. Synthesis gets the
// decoder that is meant: one enable per row, not a shifter over the whole array.
`ifdef NPU_FAST_MODEL
`define NPU_FOR_ONLY(i, n, index) begin i = 32'(index); begin
`else
`define NPU_FOR_ONLY(i, n, index) begin for (i = 0; i < (n); i++) if (i == 32'(index)) begin
`endif

// The linter warns of every blocking assignment under a clock; here the reader is the process
// itself.
`define NPU_IN_PLACE_BEGIN /*verilator lint_off BLKSEQ*/
`define NPU_IN_PLACE_END /*verilator lint_on BLKSEQ*/

// A RAM of `depth` rows of `lanes` elements of `bits` bits with one write and one read port, both
// used from one always_ff; the read comes first where both name one row, so the old row is read.
// For Verilator a row is an array (the depth rounded up, so that no index needs a test) written in
// place; for everything else it is a vector, written without blocking, which tools infer as block
// RAM. NPU_RAM_WRITE writes the bits set in the array `mask`, whose bytes are all ones or all
// zeros; NPU_RAM_WRITE_ROW the whole row. NPU_RAM_READ goes through the scratch array `row_d`: a
// row assigned to `q` at once would fall apart into elements. `i` is the process's loop variable.
// To be used inside NPU_IN_PLACE_BEGIN / NPU_IN_PLACE_END.
`ifdef NPU_FAST_MODEL
`define NPU_RAM(name, bits, lanes, depth) logic [(bits)-1:0] name [2**$clog2(depth)][lanes];
`define NPU_RAM_READ(q, name, row, row_d, bits, lanes, i) \
  `NPU_FOR(i, lanes) row_d[i] = name[row][i]; `NPU_END_FOR \
  q <= row_d;
`define NPU_RAM_WRITE(name, row, data, mask, bits, lanes, i) \
  `NPU_FOR(i, lanes) name[row][i] = (name[row][i] & ~mask[i]) | (data[i] & mask[i]); `NPU_END_FOR
`define NPU_RAM_WRITE_ROW(name, row, data, bits, lanes, i) \
  `NPU_FOR(i, lanes) name[row][i] = data[i]; `NPU_END_FOR
`else
`define NPU_RAM(name, bits, lanes, depth) logic [(lanes)*(bits)-1:0] name [depth];
`define NPU_RAM_READ(q, name, row, row_d, bits, lanes, i) \
  `NPU_FOR(i, lanes) row_d[i] = name[row][i*(bits)+:(bits)]; `NPU_END_FOR \
  q <= row_d;
`define NPU_RAM_WRITE(name, row, data, mask, bits, lanes, i) \
  `NPU_FOR(i, lanes) \
    for (int unsigned byte_ = 0; byte_ < (bits) / 8; byte_++) \
      if (mask[i][8*byte_]) name[row][i*(bits)+8*byte_+:8] <= data[i][8*byte_+:8]; \
  `NPU_END_FOR
`define NPU_RAM_WRITE_ROW(name, row, data, bits, lanes, i) \
  begin \
    automatic logic [(lanes)*(bits)-1:0] word_; \
    `NPU_FOR(i, lanes) word_[i*(bits)+:(bits)] = data[i]; `NPU_END_FOR \
    name[row] <= word_; \
  end
`endif

// Assertions, checked at every clock edge outside reset; live in simulation (Verilator with
// --assert). Immediate ones under the clock: a concurrent one would copy all that it names in every
// cycle. NPU_ASSERT needs clk_i and rst_ni in scope; NPU_ASSERT_STATIC is checked at elaboration.
`ifdef VERILATOR
`define NPU_ASSERT(name, expression, message) \
  always_ff @(posedge clk_i) if (rst_ni) name : assert (expression) else $error(message);
`else
`define NPU_ASSERT(name, expression, message)
`endif
`define NPU_ASSERT_STATIC(name, expression, message) \
  if (!(expression)) begin : g_``name \
    $error(message); \
  end

`endif
