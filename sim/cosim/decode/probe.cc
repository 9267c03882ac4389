// Feeds instructions from the standard input to npu_decode_probe. Each is InstrBits / 8 bytes, zeros
// behind the encoded words; for each a line comes out: known, length legal, engine, then all fields
// as signed decimals.
#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "Vnpu_decode_probe.h"
#include "verilated.h"

int main(int argc, char** argv) {
  VerilatedContext context;
  context.commandArgs(argc, argv);
  auto top = std::make_unique<Vnpu_decode_probe>(&context);
  std::array<uint8_t, sizeof(top->instr_i)> bytes;
  while (std::fread(bytes.data(), bytes.size(), 1, stdin) == 1) {
    std::memcpy(&top->instr_i, bytes.data(), bytes.size());  // little-endian words
    top->eval();
    std::printf("%d %d %d", top->known_o, top->length_legal_o, top->engine_o);
    for (size_t i = 0; i < sizeof(top->field_o) / sizeof(uint64_t); i++) {
      std::printf(" %" PRId64, static_cast<int64_t>(top->field_o[i]));
    }
    std::printf("\n");
  }
  top->final();
  return 0;
}
