// Reads instructions of kMaxWords * kWordBytes bytes from standard input, decodes each in RTL, writes
// its fields (64 bits each) and one more word: bit 0 known opcode, from bit 1 the engine.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "Vnpu_isa_roundtrip.h"
#include "npu_isa.h"
#include "verilated.h"

int main() {
  VerilatedContext context;
  Vnpu_isa_roundtrip top(&context);
  uint8_t instruction[jacquard::kMaxWords * jacquard::kWordBytes];
  static_assert(sizeof(instruction) == sizeof(top.instr_i));
  while (std::fread(instruction, 1, sizeof(instruction), stdin) == sizeof(instruction)) {
    std::memcpy(&top.instr_i, instruction, sizeof(instruction));
    top.eval();
    std::fwrite(&top.fields_o, 1, sizeof(top.fields_o), stdout);
    const uint64_t known = static_cast<uint64_t>(top.known_o) | top.engine_o << 1;
    std::fwrite(&known, 1, sizeof(known), stdout);
  }
  top.final();
  return 0;
}
