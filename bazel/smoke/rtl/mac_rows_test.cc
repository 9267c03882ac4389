// The verilated module computes, and its assertion is live.
#include <cstdio>
#include <memory>

#include "Vmac_rows.h"
#include "verilated.h"

int main() {
  VerilatedContext context;
  context.fatalOnError(false);  // an assertion that fires sets gotError() and goes on
  Vmac_rows top(&context);
  auto clock = [&] {
    for (int level : {0, 1}) {
      top.clk_i = level;
      top.eval();
      context.timeInc(1);
    }
  };
  top.rst_ni = 0;
  clock();
  top.rst_ni = 1;
  top.en_i = 1;
  for (int r = 0; r < 16; ++r) {
    top.a_i[r] = r - 8;
    top.b_i[r] = -3;
  }
  for (int i = 0; i < 5; ++i) clock();
  for (int r = 0; r < 16; ++r) {
    const int got = static_cast<int>(top.sum_o[r]), expected = 5 * (r - 8) * -3;
    if (got != expected) return std::fprintf(stderr, "row %d: got %d, expected %d\n", r, got, expected), 1;
  }
  if (context.gotError()) return std::fprintf(stderr, "an assertion fired in legal use\n"), 1;
  top.a_i[0] = -128;
  clock();
  if (!context.gotError()) return std::fprintf(stderr, "assertions are compiled out\n"), 1;
  return 0;
}
