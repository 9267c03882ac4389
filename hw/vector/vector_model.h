// The vector instruction in plain C++, written from docs/machine.md alone: one scalar at a time, in
// the order of the document. The bench compares the RTL with it bit for bit.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "npu_arch.h"
#include "npu_isa.h"

namespace jacquard {

inline constexpr int kOperations = static_cast<int>(VectorOp::kNorm) + 1;  // the last one's number

struct Iterator {
  uint32_t buffer = 0, dtype = 0, base = 0;
  std::array<int32_t, 4> stride{};
  bool present() const { return buffer != 0; }
};

// Fields as in proto/isa/npu.textproto.
struct VectorInstr {
  uint32_t op = 0, reduce = 0, reduce_loops = 0, lane_reduce = 0, scale = 0, shift = 0, clamp = 0;
  int32_t zero_point = 0, lo = 0, hi = 0;
  uint32_t tail_lanes = 0;
  uint32_t table = 0, table_index = 0, table_shift = 0;
  std::array<uint32_t, 4> n{1, 1, 1, 1};
  int32_t imm1 = 0, mult1 = 0, imm2 = 0, mult2 = 0;
  uint32_t param = 0;
  std::array<int32_t, 4> param_stride{};
  Iterator dst, src1, src2, dst2;

  uint64_t iterations() const { return uint64_t{n[0]} * n[1] * n[2] * n[3]; }
  std::array<uint32_t, 28> encode() const;
  std::string text() const;
};

// All memories that VECTOR reaches, by buffer number.
struct Memories {
  std::array<std::vector<uint8_t>, 7> bytes;
  Memories();
  int32_t load(uint32_t buffer, int64_t address, uint32_t dtype) const;
  void store(uint32_t buffer, int64_t address, uint32_t dtype, int32_t value);
};

uint32_t element_bytes(uint32_t dtype);
// Whether VECTOR reaches this memory with this type.
bool reachable(uint32_t buffer, uint32_t dtype, bool write);

// One vector read or written, for the bench's own checks.
struct Access {
  uint32_t buffer;
  int64_t address;
  uint32_t size;
  uint64_t iteration;
};

// The error that the instruction ends with, kOk if none.
Error check(const VectorInstr& instr);
// Runs an instruction that check() finds good.
void run(const VectorInstr& instr, Memories& memories);
// Every vector that it touches.
void accesses(const VectorInstr& instr, std::vector<Access>& reads, std::vector<Access>& writes);

}  // namespace jacquard
