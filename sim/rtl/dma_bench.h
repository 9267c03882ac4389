// What the benches of LOAD and STORE share: packing of instruction fields, random numbers, checks.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace jacquard {

// The wide instruction port, field by field.
class InstrBits {
 public:
  void Put(uint32_t word, uint32_t bit, uint32_t width, uint64_t value) {
    for (uint32_t i = 0; i < width; i++) {
      const uint32_t at = word * 128 + bit + i;
      const uint32_t mask = 1u << (at % 32);
      words_[at / 32] = (value >> i & 1) ? words_[at / 32] | mask : words_[at / 32] & ~mask;
    }
  }
  template <typename Port>
  void CopyTo(Port& port) const {
    static_assert(sizeof(port) == sizeof(words_));
    std::memcpy(&port, words_, sizeof(words_));
  }

 private:
  uint32_t words_[28] = {};
};

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull | 1) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ >> 16;
  }
  // In [low, high], both included.
  int64_t In(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
  }
  bool Percent(uint32_t chance) { return Next() % 100 < chance; }

 private:
  uint64_t state_;
};

#define BENCH_CHECK(condition, ...)                    \
  do {                                                 \
    if (!(condition)) {                                \
      std::fprintf(stderr, "FAILED: " __VA_ARGS__);    \
      std::fprintf(stderr, " (%s)\n", #condition);     \
      std::exit(1);                                    \
    }                                                  \
  } while (false)

// Loops of a DMA instruction and where they go on chip and in DRAM.
struct Shape {
  int64_t n0 = 1, n[3] = {1, 1, 1};         // n[k]: loop k + 1
  int64_t chip = 0, chip_stride[3] = {};
  int64_t dram = 0, dram_stride[3] = {};
  int64_t before0 = 0, after0 = 0, before1 = 0, after1 = 0;
  uint32_t buffer = 1, arg = 0;
  uint8_t fill = 0;
  // LOAD alone: a gather's list of indices, in DRAM from args[index_arg] + list on.
  bool gather = false;
  uint32_t index_arg = 0, limit = 0;
  int64_t list = 0;

  // Lowest and one past the highest address of n0 bytes under the loops.
  static void Extent(int64_t start, const int64_t* count, const int64_t* stride, int64_t bytes,
                     int64_t* low, int64_t* high) {
    *low = start;
    *high = start + bytes;
    for (int k = 0; k < 3; k++) {
      const int64_t reach = (count[k] - 1) * stride[k];
      (reach < 0 ? *low : *high) += reach;
    }
  }
};

}  // namespace jacquard
