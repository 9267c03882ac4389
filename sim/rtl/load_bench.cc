// LOAD alone: random instructions against plain C++, with and without back-pressure, errors,
// and the throughput that the compiler counts on.
#include <algorithm>
#include <memory>
#include <vector>

#include "Vnpu_load.h"
#include "sim/rtl/dma_bench.h"

namespace jacquard {
namespace {

constexpr int kMemories = 7;  // numbers of buffer_e
constexpr uint32_t kSizes[kMemories] = {0,          kIbufBytes,  kWbufBytes, 0,
                                        kVmemBytes, kParamBytes, kTableBytes};
constexpr int kRandomRuns = 300;
constexpr uint64_t kListsBytes = 16384;  // at the start of the image, where no row comes from

struct Bench : EngineBench<Bench, Vnpu_load> {
  std::vector<uint8_t> memory[kMemories], expected[kMemories];
  uint64_t lists = 0;  // bytes of lists so far

  Bench(uint64_t seed, uint32_t stall_percent) : EngineBench(seed, stall_percent) {
    for (int b = 0; b < kMemories; b++) {
      memory[b].resize(kSizes[b]);
      Randomise(&memory[b]);
    }
    ExpectNothing();
    Start(seed);
  }

  static InstrBits Encode(const Shape& s) {
    InstrBits bits;
    bits.Put(0, 0, 8, kOpcodeLoad);
    bits.Put(0, 20, 3, s.buffer);
    bits.Put(0, 23, 3, s.arg);
    bits.Put(0, 26, 8, s.fill);
    bits.Put(0, 34, 24, s.chip);
    bits.Put(0, 58, 40, s.dram);
    s.PutLoops(&bits);
    bits.Put(3, 0, 20, s.before0);
    bits.Put(3, 20, 20, s.after0);
    bits.Put(3, 40, 16, s.before1);
    bits.Put(3, 56, 16, s.after1);
    bits.Put(4, 0, 1, s.gather);
    bits.Put(4, 1, 3, s.index_arg);
    bits.Put(4, 4, 40, s.list);
    bits.Put(4, 44, 32, s.limit);
    return bits;
  }

  void MakeDram(const DramOptions& options) {
    dram = std::make_unique<Dram>(options, image.data(), kImageBase, kImageBytes);
    dram->AttachRead(Dram::kLoad,
                     {top->m_axi_arvalid_o, top->m_axi_arready_i, top->m_axi_araddr_o,
                      top->m_axi_arlen_o, top->m_axi_rvalid_i, top->m_axi_rready_o,
                      &top->m_axi_rdata_i, top->m_axi_rresp_i, top->m_axi_rlast_i});
  }

  void Cycle() {
    dram->Step(now);
    top->load_wr_ready_i = !random.Percent(port_stall);
    if (top->load_wr_valid_o && top->load_wr_ready_i) {
      const uint32_t addr = top->load_wr_addr_o;
      for (uint32_t i = 0; i < kDramBytes; i++) {
        if (!(static_cast<uint64_t>(top->load_wr_strb_o) >> i & 1)) continue;
        BENCH_CHECK(addr + i < memory[top->load_wr_buffer_o].size(), "write outside a memory");
        memory[top->load_wr_buffer_o][addr + i] = top->load_wr_data_o[i];
      }
      CountWrite();
    }
    top->clk_i = 1;
    top->eval();
    top->clk_i = 0;
    top->eval();
    now++;
    done += top->done_o;
  }

  uint32_t Index(const Shape& s, int64_t i1) const {
    uint32_t index;
    const uint64_t at = top->arg_i[s.index_arg] + s.list + 4 * i1;
    std::memcpy(&index, &image[at - kImageBase], sizeof(index));
    return index;
  }

  // Makes a gather of a shape: an index below `limit` for each of its runs, at a place of their own.
  void MakeGather(Shape* s, uint32_t limit) {
    s->gather = true;
    s->limit = limit;
    s->index_arg = random.In(0, 7);
    lists += 4 * random.In(0, 9);
    if (lists + 4 * s->n[0] > kListsBytes) lists = 0;
    s->list = kImageBase + lists - top->arg_i[s->index_arg];
    if (s->list < 0) s->index_arg = 0, s->list = kImageBase + lists;
    for (int64_t i1 = 0; i1 < s->n[0]; i1++, lists += 4) {
      const uint32_t index = random.Percent(5) ? limit - 1 : random.Next() % limit;
      std::memcpy(&image[lists], &index, sizeof(index));
    }
  }

  // The instruction page, byte by byte.
  void Expect(const Shape& s) {
    for (int64_t i3 = 0; i3 < s.n[2]; i3++)
      for (int64_t i2 = 0; i2 < s.n[1]; i2++)
        for (int64_t i1 = 0; i1 < s.n[0]; i1++)
          for (int64_t b = 0; b < s.n0; b++) {
            const int64_t to = s.chip + b + i1 * s.chip_stride[0] + i2 * s.chip_stride[1] +
                               i3 * s.chip_stride[2];
            const bool fill = b < s.before0 || b >= s.n0 - s.after0 || i1 < s.before1 ||
                              i1 >= s.n[0] - s.after1;
            const int64_t from = static_cast<int64_t>(top->arg_i[s.arg]) + s.dram + b - s.before0 +
                                 (s.gather ? Index(s, i1) : i1 - s.before1) * s.dram_stride[0] +
                                 i2 * s.dram_stride[1] + i3 * s.dram_stride[2];
            expected[s.buffer][to] = fill ? s.fill : image[from - kImageBase];
          }
  }

  // Rows short and long, of any alignment and stride.
  Shape RandomGather() {
    for (;;) {
      Shape s;
      const uint32_t buffers[] = {1, 2, 4, 5, 6};
      s.buffer = buffers[random.Next() % 5];
      s.arg = random.In(0, 7);
      s.n0 = random.Percent(20) ? random.In(1, 1000) : random.In(1, 5 * kDramBytes);
      if (random.Percent(10)) s.n0 = random.In(1, 2 * kLoadBufferBytes);
      s.n[0] = random.Percent(20) ? random.In(1, 150) : random.In(1, 20);
      s.chip_stride[0] = random.In(-2 * kDramBytes, 2 * kDramBytes);
      s.dram_stride[0] = random.Percent(50) ? random.In(-900, 900) : s.n0;
      for (int k = 1; k < 3; k++) {
        s.chip_stride[k] = random.In(-2000, 2000);
        s.dram_stride[k] = random.In(-2000, 2000);
      }
      s.chip = random.In(0, kSizes[s.buffer] - 1);
      const int64_t limit = random.In(1, 200), rows[3] = {limit, 1, 1};
      s.dram = random.In(0, kImageBytes - 1);
      if (!s.Fits(kSizes[s.buffer], rows)) continue;
      if (s.arg == 0) s.dram += kImageBase;
      MakeGather(&s, limit);
      return s;
    }
  }

  Shape RandomShape() {
    for (;;) {
      Shape s;
      const uint32_t buffers[] = {1, 2, 4, 5, 6};
      s.buffer = buffers[random.Next() % 5];
      s.arg = random.In(1, 7);
      s.fill = random.Next();
      RandomLoops(&s, kSizes[s.buffer]);
      if (random.Percent(40)) {
        s.before0 = random.In(0, s.n0);
        s.after0 = random.In(0, s.n0 - s.before0);
      }
      if (random.Percent(40)) {
        s.before1 = random.In(0, s.n[0]);
        s.after1 = random.In(0, s.n[0] - s.before1);
      }
      // Padding alone: done without a word from the bus, so that filling catches up with asking.
      if (random.Percent(20)) s.before0 = s.n0, s.after0 = 0;
      if (s.Fits(kSizes[s.buffer], s.n)) return s;
    }
  }

  void ExpectNothing() {
    for (int b = 0; b < kMemories; b++) expected[b] = memory[b];
  }

  void Compare(uint64_t seed) {
    for (int b = 0; b < kMemories; b++)
      for (size_t i = 0; i < memory[b].size(); i++)
        BENCH_CHECK(memory[b][i] == expected[b][i], "seed %llu: memory %d byte %zu is %d, not %d",
                    (unsigned long long)seed, b, i, memory[b][i], expected[b][i]);
  }
};

// Indices that wait for the bus must not hold up the asking side where it has nothing to ask for:
// filling would overtake it, and free instructions that it has not begun.
void PaddingBeforeGathers(uint64_t seed) {
  Bench bench(seed, 90);
  bench.port_stall = 0;
  constexpr uint32_t kCount = 12;
  for (uint32_t i = 0; i < kCount; i++) {
    Shape shape = bench.RandomGather();
    if (i % 6 < 3) {
      shape = Shape();
      shape.n0 = shape.before0 = 1;
      shape.n[0] = bench.random.In(1, 30);
      shape.fill = i;
    }
    bench.Expect(shape);
    bench.Issue(shape, i);
  }
  bench.Finish(kCount);
  bench.Compare(seed);
}

// Cycles of `count` gathers of 128 rows, from the first instruction on.
void GatherThroughput(const char* name, int64_t row_bytes, uint32_t count, uint64_t bound) {
  Bench bench(1, 0);
  Shape s;
  s.arg = 0;
  s.dram = kImageBase;
  s.n0 = s.dram_stride[0] = row_bytes;
  s.n[0] = 128;
  // Rows overlap where the memory is too small for all of them.
  s.chip_stride[0] = std::min<int64_t>(row_bytes, (kIbufBytes - row_bytes) / 128) & -kDramBytes;
  const uint64_t start = bench.now;
  for (uint32_t i = 0; i < count; i++) {
    bench.MakeGather(&s, kImageBytes / row_bytes);
    bench.Expect(s), bench.Issue(s, i);
  }
  bench.Finish(count);
  bench.Compare(1);
  bench.CheckTime(name, bench.now - start, bound);
}

void Throughputs() {
  const int64_t B = kDramBytes;
  Shape s;
  s.arg = 0;
  s.dram = kImageBase;
  s.n0 = 64 * B;
  Throughput<Bench>("long runs", s, 16, 16 * 64 + 8);
  s.n0 = B;
  s.n[0] = 14;
  s.n[1] = 10;
  s.chip_stride[0] = B;
  s.chip_stride[1] = 14 * B;
  s.dram_stride[0] = 4 * B;
  s.dram_stride[1] = 80 * B;
  Throughput<Bench>("one beat per run, scattered", s, 8, 8 * 140 + 8);
  s.before1 = 1;
  s.after1 = 1;
  // Padding is written before the first data is there.
  Throughput<Bench>("the same, padded runs", s, 8, 8 * 140 + 120);
  if (B == 16) {
    Shape c;  // the packed first convolution: 21 of 32 bytes, six apart
    c.arg = 0;
    c.dram = kImageBase + 3;
    c.n0 = 21;
    c.n[0] = 112;
    c.n[1] = 7;
    c.chip_stride[0] = 32;
    c.chip_stride[1] = 32 * 112;
    c.dram_stride[0] = 6;
    c.dram_stride[1] = 690;
    Throughput<Bench>("21 bytes, six apart", c, 2, 2 * 784 * 9 / 4 + 200);
    c.chip_stride[0] = 160;
    c.chip_stride[1] = 21;
    Throughput<Bench>("21 bytes, 160 and 21 apart", c, 2, 2 * 784 * 5 / 2 + 200);
  }
  // Beside the beats the latency twice, once for the first indices and once for the first row.
  const uint64_t lists = 128 * 4 / B + 1;
  GatherThroughput("gather, 96 beats a row", 96 * B, 1, 128 * 96 + lists + 240);
  GatherThroughput("three of them", 96 * B, 3, 3 * (128 * 96 + lists) + 240);
  // Two bursts of 8 beats of indices are in flight, and 64 rows: so many in a latency and a little.
  GatherThroughput("gather, a beat a row", B, 8, (B == 4 ? 7 : B == 8 ? 4 : 2) * 8 * 128 + 400);
}

void ExpectError(const char* name, const Shape& shape, Error code,
                 const std::vector<uint32_t>& list = {}) {
  jacquard::ExpectError<Bench>(name, shape, code, false, list);
}

void Errors() {
  Shape s;
  s.arg = 0;
  s.dram = kImageBase;
  s.n0 = 8;
  CommonErrors<Bench>(s, {0, 3, 7}, Error::kDramRead);
  Shape bad;
  bad = s;
  bad.before0 = 5, bad.after0 = 4;
  ExpectError("more padding than bytes", bad, Error::kIllegal);
  bad = s;
  bad.after1 = 2;
  ExpectError("more padding than runs", bad, Error::kIllegal);

  Shape rows = s;
  rows.n0 = 24, rows.n[0] = 12, rows.chip_stride[0] = 32, rows.dram_stride[0] = 50;
  rows.gather = true, rows.list = kImageBase + kList, rows.limit = 5;
  const std::vector<uint32_t> good = {0, 4, 1, 2, 3, 0, 0, 4, 4, 1, 1, 2};
  ExpectError("an index at the limit", rows, Error::kIndex, {0, 4, 1, 2, 3, 0, 0, 4, 4, 1, 1, 5});
  ExpectError("the first index", rows, Error::kIndex, {9, 4, 1, 2, 3, 0, 0, 4, 4, 1, 1, 4});
  ExpectError("a negative index", rows, Error::kIndex,
              {0, 4, 1, 2, 0xffffffffu, 0, 0, 4, 4, 1, 1, 4});
  bad = rows;
  bad.limit = 0;
  ExpectError("no index is good", bad, Error::kIndex, good);
  bad = rows;
  bad.list += 2;
  ExpectError("list not aligned", bad, Error::kIllegal, good);
  bad = rows;
  bad.n[1] = 2;
  ExpectError("gather under two loops", bad, Error::kIllegal, good);
  bad = rows;
  bad.n[2] = 2;
  ExpectError("gather under loop 3", bad, Error::kIllegal, good);
  for (int64_t Shape::* pad : {&Shape::before0, &Shape::after0, &Shape::before1, &Shape::after1}) {
    bad = rows;
    bad.*pad = 1;
    ExpectError("padded gather", bad, Error::kIllegal, good);
  }
  bad = rows;
  bad.list = 0x100;
  ExpectError("no such list", bad, Error::kDramRead, good);
  bad = rows;
  bad.list = kImageBase + kImageBytes - 4;
  bad.limit = 0xffffffffu, bad.dram_stride[0] = 0;
  ExpectError("list past the end", bad, Error::kDramRead, good);
  bad = rows;
  bad.dram_stride[0] = 0x7fffffff;
  ExpectError("row past the end", bad, Error::kDramRead, good);
  // Whichever run is first in the list.
  bad.dram_stride[0] = -0x10000;
  ExpectError("row, then index", bad, Error::kDramRead, {0, 3, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0});
  bad.dram = kImageBase + 0x3f000;
  ExpectError("row, then index", bad, Error::kDramRead, {0, 3, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0});
  ExpectError("index, then row", bad, Error::kIndex, {0, 3, 6, 4, 0, 0, 0, 0, 0, 0, 0, 0});
}

// A rule that only a broken bus can violate: shows that assertions are alive.
void AssertionFires() {
  Bench bench(1, 0);
  bench.context.fatalOnError(false);
  BENCH_CHECK(!bench.context.gotError(), "an assertion failed too early");
  bench.top->m_axi_rvalid_i = 1;
  bench.Cycle();
  BENCH_CHECK(bench.context.gotError(), "read data that nobody asked for went unnoticed");
}

}  // namespace
}  // namespace jacquard

int main() {
  jacquard::AssertionFires();
  jacquard::Throughputs();
  jacquard::Errors();
  for (uint64_t seed = 1; seed <= 50; seed++) jacquard::PaddingBeforeGathers(seed);
  for (uint64_t seed = 1; seed <= jacquard::kRandomRuns; seed++) {
    constexpr uint32_t kStalls[] = {0, 20, 60, 85};
    jacquard::RandomRun<jacquard::Bench>(seed, kStalls[seed % 5 % 4], [&](jacquard::Bench& bench) {
      const bool gather = bench.random.Percent(seed % 4 * 30);
      return gather ? bench.RandomGather() : bench.RandomShape();
    });
  }
  std::printf("%d random runs equal\nPASS\n", jacquard::kRandomRuns);
}
