// What the benches of LOAD and STORE share: instructions and their packing, random numbers, an
// engine with a DRAM behind it, throughput, errors.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "npu_arch.h"
#include "npu_isa.h"
#include "sim/rtl/dram.h"
#include "verilated.h"

namespace jacquard {

inline constexpr uint64_t kImageBytes = 1 << 18;
inline constexpr uint64_t kImageBase = 0x40000;

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

  // Whether it stays in a memory of `size` bytes and in the image; rows: counts of loops in DRAM.
  bool Fits(int64_t size, const int64_t* rows) const {
    int64_t low, high;
    Extent(chip, n, chip_stride, n0, &low, &high);
    if (low < 0 || high > size) return false;
    // Generous: as if padding were read too, on both sides.
    Extent(dram, rows, dram_stride, n0, &low, &high);
    return low >= 20000 && high <= static_cast<int64_t>(kImageBytes) - 20000;
  }

  // Words 1 and 2, which both instructions have.
  void PutLoops(InstrBits* bits) const {
    bits->Put(1, 0, 20, n0);
    bits->Put(1, 20, 16, n[0]);
    bits->Put(1, 36, 16, n[1]);
    bits->Put(1, 52, 16, n[2]);
    bits->Put(1, 68, 24, chip_stride[0]);
    bits->Put(1, 92, 24, chip_stride[1]);
    bits->Put(2, 0, 32, dram_stride[0]);
    bits->Put(2, 32, 32, dram_stride[1]);
    bits->Put(2, 64, 32, dram_stride[2]);
    bits->Put(2, 96, 24, chip_stride[2]);
  }
};

// An engine with a DRAM behind it. Bench derives from this and adds its side of the chip: Encode,
// MakeDram, Cycle; RandomShape; Expect, ExpectNothing and Compare with plain C++.
template <typename Bench, typename Top>
struct EngineBench {
  VerilatedContext context;
  std::unique_ptr<Top> top{new Top{&context}};
  std::vector<uint8_t> image = std::vector<uint8_t>(kImageBytes);
  std::unique_ptr<Dram> dram;
  uint64_t now = 0, first_write = 0, last_write = 0, writes = 0, done = 0;
  uint32_t port_stall;
  Random random;

  EngineBench(uint64_t seed, uint32_t stall_percent) : port_stall(stall_percent), random(seed) {
    Randomise(&image);
  }
  Bench& self() { return static_cast<Bench&>(*this); }

  void Randomise(std::vector<uint8_t>* bytes) {
    for (uint8_t& byte : *bytes) byte = static_cast<uint8_t>(random.Next());
  }

  // DRAM, arguments, reset.
  void Start(uint64_t seed) {
    DramOptions options;
    options.beat_bytes = kDramBytes;
    options.stall_percent = port_stall;
    options.seed = seed;
    self().MakeDram(options);
    for (int i = 0; i < 8; i++) top->arg_i[i] = i == 0 ? 0 : kImageBase + 64 * i + i;
    top->rst_ni = 0;
    self().Cycle();
    self().Cycle();
    top->rst_ni = 1;
    self().Cycle();
  }

  void CountWrite() {
    if (writes++ == 0) first_write = now;
    last_write = now;
  }

  void Issue(const Shape& shape, uint32_t index) {
    Bench::Encode(shape).CopyTo(top->instr_i);
    top->instr_index_i = index;
    top->instr_valid_i = 1;
    const uint64_t limit = now + 2000000;
    while (!top->instr_ready_o && !top->error_valid_o && now < limit) self().Cycle();
    BENCH_CHECK(now < limit, "instruction %u is never taken", index);
    self().Cycle();
    top->instr_valid_i = 0;
  }

  // Bytes and loops of a random instruction, its memory having `size` bytes.
  void RandomLoops(Shape* s, int64_t size) {
    s->n0 = random.Percent(10) ? random.In(1, 2000) : random.In(1, 5 * kDramBytes);
    for (int k = 0; k < 3; k++) {
      s->n[k] = random.In(1, k == 0 ? 9 : 3);
      const int64_t span = random.Percent(30) ? 600 : 3 * kDramBytes;
      s->chip_stride[k] = random.In(-span, span);
      s->dram_stride[k] = random.In(-2000, 2000);
      if (random.Percent(30)) {
        s->chip_stride[k] &= ~int64_t{kDramBytes - 1};
        s->dram_stride[k] &= ~int64_t{kDramBytes - 1};
      }
    }
    s->chip = random.In(0, size - 1);
    s->dram = random.In(0, kImageBytes - 1);
  }

  void Finish(uint64_t count) {
    const uint64_t limit = now + 2000000;
    while (done < count && now < limit && !top->error_valid_o) self().Cycle();
    BENCH_CHECK(!top->error_valid_o, "error %d of instruction %u", top->error_code_o,
                top->error_index_o);
    BENCH_CHECK(done == count, "%llu of %llu done", (unsigned long long)done,
                (unsigned long long)count);
    BENCH_CHECK(dram->violation().empty(), "%s", dram->violation().c_str());
  }

  void CheckTime(const char* name, uint64_t cycles, uint64_t bound) const {
    const uint64_t bytes = dram->read_bytes(Dram::kLoad) + dram->written_bytes();
    std::printf("%-28s %6llu cycles, at most %llu (%llu writes, %llu beats)\n", name,
                (unsigned long long)cycles, (unsigned long long)bound, (unsigned long long)writes,
                (unsigned long long)bytes / kDramBytes);
    BENCH_CHECK(cycles <= bound, "%s too slow", name);
  }
};

// 40 instructions that `next` makes of the bench.
template <typename Bench, typename Next>
void RandomRun(uint64_t seed, uint32_t stall_percent, const Next& next) {
  Bench bench(seed, stall_percent);
  constexpr uint32_t kCount = 40;
  for (uint32_t i = 0; i < kCount; i++) {
    const Shape shape = next(bench);
    bench.Expect(shape);
    bench.Issue(shape, i);
    const int64_t gap = bench.random.Percent(20) ? bench.random.In(1, 300) : 0;
    for (int64_t k = 0; k < gap; k++) bench.Cycle();
  }
  bench.Finish(kCount);
  bench.Compare(seed);
}

// Cycles from the first to the last write of `count` equal instructions.
template <typename Bench>
void Throughput(const char* name, const Shape& shape, uint32_t count, uint64_t bound) {
  Bench bench(1, 0);
  for (uint32_t i = 0; i < count; i++) bench.Expect(shape), bench.Issue(shape, i);
  bench.Finish(count);
  bench.Compare(1);
  bench.CheckTime(name, bench.last_write - bench.first_write + 1, bound);
}

// list: words at the place that kList says.
inline constexpr int64_t kList = 64;
template <typename Bench>
void ExpectError(const char* name, const Shape& shape, Error code, bool dram_error = false,
                 const std::vector<uint32_t>& list = {}) {
  Bench bench(7, 0);
  if (!list.empty()) std::memcpy(&bench.image[kList], list.data(), 4 * list.size());
  const Shape good = bench.RandomShape();
  bench.Issue(good, 70);
  bench.Issue(good, 71);
  if (dram_error) {
    bench.Finish(2);  // what is in flight would be lost with the DRAM
    DramOptions options;
    options.beat_bytes = kDramBytes;
    options.has_error = true;
    options.error_address = kImageBase + 0x3001;
    bench.MakeDram(options);
  }
  bench.Issue(shape, 72);
  for (int i = 0; i < 20000 && !bench.top->error_valid_o; i++) bench.Cycle();
  BENCH_CHECK(bench.top->error_valid_o, "%s: no error", name);
  BENCH_CHECK(bench.top->error_code_o == static_cast<uint32_t>(code), "%s: code %d", name,
              bench.top->error_code_o);
  BENCH_CHECK(bench.top->error_index_o == 72, "%s: index %u", name, bench.top->error_index_o);
  bench.top->halt_i = 1;
  for (int i = 0; i < 3000 && !bench.top->quiet_o; i++) bench.Cycle();
  BENCH_CHECK(bench.top->quiet_o, "%s: bus never quiet", name);
  bench.top->halt_i = 0;
  bench.top->clear_i = 1;
  bench.Cycle();
  bench.top->clear_i = 0;
  BENCH_CHECK(!bench.top->error_valid_o, "%s: error outlives clear", name);
  // And it works again.
  bench.dram.reset();
  bench.MakeDram({.beat_bytes = kDramBytes});
  bench.ExpectNothing();
  bench.done = 0;
  const Shape next = bench.RandomShape();
  bench.Expect(next);
  bench.Issue(next, 0);
  bench.Finish(1);
  bench.Compare(7);
}

// Errors that both engines have. s: a good instruction of 8 bytes; unreached: memories not theirs.
template <typename Bench>
void CommonErrors(const Shape& s, std::initializer_list<uint32_t> unreached, Error dram) {
  Shape bad = s;
  bad.n[1] = 0;
  ExpectError<Bench>("count of 0", bad, Error::kIllegal);
  bad = s;
  bad.n0 = 0;
  ExpectError<Bench>("no bytes", bad, Error::kIllegal);
  for (uint32_t buffer : unreached) {
    bad = s;
    bad.buffer = buffer;
    ExpectError<Bench>("memory not reached", bad, Error::kLocalRange);
  }
  bad = s;
  bad.chip = kIbufBytes - 7;
  ExpectError<Bench>("one byte past the end", bad, Error::kLocalRange);
  bad = s;
  bad.n[2] = 65535, bad.chip_stride[2] = -8388608, bad.n[1] = 65535, bad.chip_stride[1] = 8388607;
  ExpectError<Bench>("far out of range", bad, Error::kLocalRange);
  bad = s;
  bad.chip = 100, bad.n[0] = 2, bad.chip_stride[0] = -101;
  ExpectError<Bench>("below zero", bad, Error::kLocalRange);
  bad = s;
  bad.dram = 0x100;
  ExpectError<Bench>("no such DRAM", bad, dram);
  bad = s;
  bad.dram = kImageBase + 0x2fc0, bad.n0 = 300;
  ExpectError<Bench>("SLVERR", bad, dram, true);
}

}  // namespace jacquard
