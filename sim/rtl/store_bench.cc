// STORE alone: random instructions against plain C++, with and without back-pressure, errors,
// and the throughput that the compiler counts on.
#include <memory>
#include <vector>

#include "Vnpu_store.h"
#include "npu_arch.h"
#include "npu_isa.h"
#include "sim/rtl/dma_bench.h"
#include "sim/rtl/dram.h"
#include "verilated.h"

namespace jacquard {
namespace {

constexpr uint32_t kSizes[6] = {0, kIbufBytes, 0, 0, kVmemBytes, 0};
constexpr uint64_t kImageBytes = 1 << 18;
constexpr uint64_t kImageBase = 0x40000;

InstrBits Encode(const Shape& s) {
  InstrBits bits;
  bits.Put(0, 0, 8, kOpcodeStore);
  bits.Put(0, 20, 3, s.buffer);
  bits.Put(0, 23, 3, s.arg);
  bits.Put(0, 26, 24, s.chip);
  bits.Put(0, 50, 40, s.dram);
  bits.Put(1, 0, 20, s.n0);
  bits.Put(1, 20, 16, s.n[0]);
  bits.Put(1, 36, 16, s.n[1]);
  bits.Put(1, 52, 16, s.n[2]);
  bits.Put(1, 68, 24, s.chip_stride[0]);
  bits.Put(1, 92, 24, s.chip_stride[1]);
  bits.Put(2, 0, 32, s.dram_stride[0]);
  bits.Put(2, 32, 32, s.dram_stride[1]);
  bits.Put(2, 64, 32, s.dram_stride[2]);
  bits.Put(2, 96, 24, s.chip_stride[2]);
  return bits;
}

struct Bench {
  VerilatedContext context;
  std::unique_ptr<Vnpu_store> top{new Vnpu_store{&context}};
  std::vector<uint8_t> image = std::vector<uint8_t>(kImageBytes);
  std::vector<uint8_t> expected = std::vector<uint8_t>(kImageBytes);
  std::vector<uint8_t> memory[6];
  std::unique_ptr<Dram> dram;
  uint64_t now = 0, first_write = 0, last_write = 0, writes = 0, done = 0;
  uint32_t port_stall = 0;
  Random random;

  Bench(uint64_t seed, uint32_t stall_percent) : port_stall(stall_percent), random(seed) {
    for (uint8_t& byte : image) byte = static_cast<uint8_t>(random.Next());
    expected = image;
    for (int b = 0; b < 6; b++) {
      memory[b].resize(kSizes[b]);
      for (uint8_t& byte : memory[b]) byte = static_cast<uint8_t>(random.Next());
    }
    DramOptions options;
    options.beat_bytes = kDramBytes;
    options.stall_percent = stall_percent;
    options.seed = seed;
    MakeDram(options);
    for (int i = 0; i < 8; i++) top->arg_i[i] = i == 0 ? 0 : kImageBase + 64 * i + i;
    top->rst_ni = 0;
    Cycle();
    Cycle();
    top->rst_ni = 1;
    Cycle();
  }

  void MakeDram(const DramOptions& options) {
    dram = std::make_unique<Dram>(options, image.data(), kImageBase, kImageBytes);
    dram->AttachWrite({top->m_axi_awvalid_o, top->m_axi_awready_i, top->m_axi_awaddr_o,
                       top->m_axi_awlen_o, top->m_axi_wvalid_o, top->m_axi_wready_i,
                       &top->m_axi_wdata_o, &top->m_axi_wstrb_o, top->m_axi_wlast_o,
                       top->m_axi_bvalid_i, top->m_axi_bready_o, top->m_axi_bresp_i});
  }

  void Cycle() {
    dram->Step(now);
    top->store_rd_ready_i = !random.Percent(port_stall);
    const bool read = top->store_rd_valid_o && top->store_rd_ready_i;
    const uint32_t addr = top->store_rd_addr_o, buffer = top->store_rd_buffer_o;
    if (top->m_axi_wvalid_o && top->m_axi_wready_i) {
      if (writes++ == 0) first_write = now;
      last_write = now;
    }
    top->clk_i = 1;
    top->eval();
    top->clk_i = 0;
    for (uint32_t i = 0; i < kDramBytes; i++) {
      if (read) BENCH_CHECK(addr + i < memory[buffer].size(), "read outside a memory");
      // What a port shows that was not asked is anything.
      top->store_rd_data_i[i] = read ? memory[buffer][addr + i] : random.Next();
    }
    top->eval();
    now++;
    done += top->done_o;
  }

  void Issue(const Shape& shape, uint32_t index) {
    Encode(shape).CopyTo(top->instr_i);
    top->instr_index_i = index;
    top->instr_valid_i = 1;
    while (!top->instr_ready_o && !top->error_valid_o) Cycle();
    Cycle();
    top->instr_valid_i = 0;
  }

  // The instruction page, byte by byte.
  void Expect(const Shape& s) {
    for (int64_t i3 = 0; i3 < s.n[2]; i3++)
      for (int64_t i2 = 0; i2 < s.n[1]; i2++)
        for (int64_t i1 = 0; i1 < s.n[0]; i1++)
          for (int64_t b = 0; b < s.n0; b++) {
            const int64_t from = s.chip + b + i1 * s.chip_stride[0] + i2 * s.chip_stride[1] +
                                 i3 * s.chip_stride[2];
            const int64_t to = static_cast<int64_t>(top->arg_i[s.arg]) + s.dram + b +
                               i1 * s.dram_stride[0] + i2 * s.dram_stride[1] +
                               i3 * s.dram_stride[2];
            expected[to - kImageBase] = memory[s.buffer][from];
          }
  }

  Shape RandomShape() {
    for (;;) {
      Shape s;
      s.buffer = random.Percent(50) ? 1 : 4;
      s.arg = random.In(1, 7);
      s.n0 = random.Percent(10) ? random.In(1, 2000) : random.In(1, 5 * kDramBytes);
      for (int k = 0; k < 3; k++) {
        s.n[k] = random.In(1, k == 0 ? 9 : 3);
        const int64_t span = random.Percent(30) ? 600 : 3 * kDramBytes;
        s.chip_stride[k] = random.In(-span, span);
        s.dram_stride[k] = random.In(-2000, 2000);
        if (random.Percent(30)) {
          s.chip_stride[k] &= ~int64_t{kDramBytes - 1};
          s.dram_stride[k] &= ~int64_t{kDramBytes - 1};
        }
      }
      s.chip = random.In(0, kSizes[s.buffer] - 1);
      s.dram = random.In(0, kImageBytes - 1);
      int64_t low, high;
      Shape::Extent(s.chip, s.n, s.chip_stride, s.n0, &low, &high);
      if (low < 0 || high > kSizes[s.buffer]) continue;
      Shape::Extent(s.dram, s.n, s.dram_stride, s.n0, &low, &high);
      if (low < 20000 || high > static_cast<int64_t>(kImageBytes) - 20000) continue;
      return s;
    }
  }

  void Finish(uint64_t count) {
    const uint64_t limit = now + 2000000;
    while (done < count && now < limit && !top->error_valid_o) Cycle();
    BENCH_CHECK(!top->error_valid_o, "error %d of instruction %u", top->error_code_o,
                top->error_index_o);
    BENCH_CHECK(done == count, "%llu of %llu done", (unsigned long long)done,
                (unsigned long long)count);
    BENCH_CHECK(dram->violation().empty(), "%s", dram->violation().c_str());
  }

  void Compare(uint64_t seed) {
    for (size_t i = 0; i < kImageBytes; i++)
      BENCH_CHECK(image[i] == expected[i], "seed %llu: DRAM byte %zu is %d, not %d",
                  (unsigned long long)seed, i, image[i], expected[i]);
  }
};

void RandomRun(uint64_t seed, uint32_t stall_percent) {
  Bench bench(seed, stall_percent);
  constexpr uint32_t kCount = 40;
  for (uint32_t i = 0; i < kCount; i++) {
    const Shape shape = bench.RandomShape();
    bench.Expect(shape);
    bench.Issue(shape, i);
    const int64_t gap = bench.random.Percent(20) ? bench.random.In(1, 300) : 0;
    for (int64_t k = 0; k < gap; k++) bench.Cycle();
  }
  bench.Finish(kCount);
  bench.Compare(seed);
}

// Cycles from the first to the last write of `count` equal instructions.
uint64_t Throughput(const char* name, const Shape& shape, uint32_t count, uint64_t bound) {
  Bench bench(1, 0);
  for (uint32_t i = 0; i < count; i++) bench.Expect(shape), bench.Issue(shape, i);
  bench.Finish(count);
  bench.Compare(1);
  const uint64_t cycles = bench.last_write - bench.first_write + 1;
  std::printf("%-28s %6llu cycles, at most %llu (%llu writes, %llu beats)\n", name,
              (unsigned long long)cycles, (unsigned long long)bound,
              (unsigned long long)bench.writes,
              (unsigned long long)bench.dram->written_bytes() / kDramBytes);
  BENCH_CHECK(cycles <= bound, "%s too slow", name);
  return cycles;
}

void Throughputs() {
  const int64_t B = kDramBytes;
  Shape s;
  s.arg = 0;
  s.dram = kImageBase;
  s.n0 = 64 * B;
  Throughput("long runs", s, 16, 16 * 64 + 8);
  s.n0 = B;
  s.n[0] = 14;
  s.n[1] = 10;
  s.chip_stride[0] = B;
  s.chip_stride[1] = 14 * B;
  s.dram_stride[0] = 4 * B;
  s.dram_stride[1] = 80 * B;
  Throughput("one beat per run, scattered", s, 8, 8 * 140 + 8);
  if (B == 16) {
    Shape c;  // rows of 21 bytes packed densely
    c.arg = 0;
    c.dram = kImageBase + 3;
    c.n0 = 21;
    c.n[0] = 784;
    c.chip_stride[0] = 32;
    c.dram_stride[0] = 21;
    Throughput("21 bytes, dense", c, 2, 2 * 784 * 9 / 4 + 200);
  }
}

void ExpectError(const char* name, const Shape& shape, Error code, bool dram_error = false) {
  Bench bench(7, 0);
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
  bench.expected = bench.image;
  bench.done = 0;
  const Shape next = bench.RandomShape();
  bench.Expect(next);
  bench.Issue(next, 0);
  bench.Finish(1);
  bench.Compare(7);
}

void Errors() {
  Shape s;
  s.arg = 0;
  s.dram = kImageBase;
  s.n0 = 8;
  Shape bad = s;
  bad.n[1] = 0;
  ExpectError("count of 0", bad, Error::kIllegal);
  bad = s;
  bad.n0 = 0;
  ExpectError("no bytes", bad, Error::kIllegal);
  for (uint32_t buffer : {0u, 2u, 3u, 5u, 6u, 7u}) {
    bad = s;
    bad.buffer = buffer;
    ExpectError("memory not reached", bad, Error::kLocalRange);
  }
  bad = s;
  bad.chip = kIbufBytes - 7;
  ExpectError("one byte past the end", bad, Error::kLocalRange);
  bad = s;
  bad.n[2] = 65535, bad.chip_stride[2] = -8388608, bad.n[1] = 65535, bad.chip_stride[1] = 8388607;
  ExpectError("far out of range", bad, Error::kLocalRange);
  bad = s;
  bad.chip = 100, bad.n[0] = 2, bad.chip_stride[0] = -101;
  ExpectError("below zero", bad, Error::kLocalRange);
  bad = s;
  bad.dram = 0x100;
  ExpectError("no such DRAM", bad, Error::kDramWrite);
  bad = s;
  bad.dram = kImageBase + 0x2fc0, bad.n0 = 300;
  ExpectError("SLVERR", bad, Error::kDramWrite, true);
}

}  // namespace
}  // namespace jacquard

int main() {
  jacquard::Throughputs();
  jacquard::Errors();
  for (uint64_t seed = 1; seed <= 60; seed++) {
    jacquard::RandomRun(seed, seed % 3 == 0 ? 0 : seed % 3 == 1 ? 20 : 60);
  }
  std::printf("60 random runs equal\nPASS\n");
}
