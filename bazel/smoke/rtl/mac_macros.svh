// Loops stay loops in the generated C++, so that its compiler vectorises them (docs: RTL style).
`define MAC_FOR(i, n) /*verilator unroll_disable*/ for (i = 0; i < n; i++) begin
