// STORE alone: random instructions against plain C++, with and without back-pressure, errors,
// and the throughput that the compiler counts on.
#include <memory>
#include <vector>

#include "Vnpu_store.h"
#include "sim/rtl/dma_bench.h"

namespace jacquard {
namespace {

constexpr uint32_t kSizes[6] = {0, kIbufBytes, 0, 0, kVmemBytes, 0};

struct Bench : EngineBench<Bench, Vnpu_store> {
  std::vector<uint8_t> expected = image;
  std::vector<uint8_t> memory[6];

  Bench(uint64_t seed, uint32_t stall_percent) : EngineBench(seed, stall_percent) {
    for (int b = 0; b < 6; b++) {
      memory[b].resize(kSizes[b]);
      Randomise(&memory[b]);
    }
    Start(seed);
  }

  static InstrBits Encode(const Shape& s) {
    InstrBits bits;
    bits.Put(0, 0, 8, kOpcodeStore);
    bits.Put(0, 20, 3, s.buffer);
    bits.Put(0, 23, 3, s.arg);
    bits.Put(0, 26, 24, s.chip);
    bits.Put(0, 50, 40, s.dram);
    s.PutLoops(&bits);
    return bits;
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
    if (top->m_axi_wvalid_o && top->m_axi_wready_i) CountWrite();
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
      RandomLoops(&s, kSizes[s.buffer]);
      if (s.Fits(kSizes[s.buffer], s.n)) return s;
    }
  }

  void ExpectNothing() { expected = image; }

  void Compare(uint64_t seed) {
    for (size_t i = 0; i < kImageBytes; i++)
      BENCH_CHECK(image[i] == expected[i], "seed %llu: DRAM byte %zu is %d, not %d",
                  (unsigned long long)seed, i, image[i], expected[i]);
  }
};

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
  if (B == 16) {
    Shape c;  // rows of 21 bytes packed densely
    c.arg = 0;
    c.dram = kImageBase + 3;
    c.n0 = 21;
    c.n[0] = 784;
    c.chip_stride[0] = 32;
    c.dram_stride[0] = 21;
    Throughput<Bench>("21 bytes, dense", c, 2, 2 * 784 * 9 / 4 + 200);
  }
}

void Errors() {
  Shape s;
  s.arg = 0;
  s.dram = kImageBase;
  s.n0 = 8;
  CommonErrors<Bench>(s, {0, 2, 3, 5, 6, 7}, Error::kDramWrite);
}

}  // namespace
}  // namespace jacquard

int main() {
  jacquard::Throughputs();
  jacquard::Errors();
  for (uint64_t seed = 1; seed <= 60; seed++) {
    jacquard::RandomRun<jacquard::Bench>(
        seed, seed % 3 == 0 ? 0 : seed % 3 == 1 ? 20 : 60,
        [](jacquard::Bench& bench) { return bench.RandomShape(); });
  }
  std::printf("60 random runs equal\nPASS\n");
}
