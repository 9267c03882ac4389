// npu_load and npu_store without data.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "sim/perf/model/dma.h"
#include "sim/perf/model/dram.h"
#include "sim/perf/model/engine.h"
#include "sim/perf/model/gather.h"

namespace jacquard::perf {

class Load {
 public:
  Load(const Params& params, const Memory& memory);
  // Shows the address register to the DRAM.
  void Ask(Dram& dram, Cycle now) {
    if (burst_.valid()) dram.AskRead(Dram::kLoad, static_cast<uint32_t>(burst_.shown_beats()), now);
  }
  bool ready() const { return queue_.ready(); }
  bool quiet() const { return flying_ == 0 && !burst_.valid(); }
  // One clock edge; `offered` is taken if ready().
  EngineCycle Tick(const Descriptor* offered, const Dram::Bus& bus, const Ports& ports);

 private:
  int64_t beat_, bursts_max_, list_beats_, table_words_;
  DmaQueue queue_;
  RunWalk ask_, fill_;
  BurstGen burst_;
  Gather gather_;
  WindowFifo fifo_;
  Realign realign_;
  int64_t room_, flying_ = 0, bursts_ = 0, table_sub_ = 0;
  std::deque<bool> tags_;  // of the bursts that are out: of indices
  bool done_ = false;
};

class Store {
 public:
  explicit Store(const Params& params);
  void Ask(Dram& dram) {
    if (burst_.valid()) dram.AskWrite(static_cast<uint32_t>(burst_.shown_beats()));
  }
  bool shows_data() const { return realign_.valid(); }
  bool ready() const { return queue_.ready(); }
  bool quiet() const {
    return bursts_ == 0 && ahead_ == 0 && !burst_.valid() && !realign_.valid();
  }
  // What it asks of VMEM in this cycle.
  void AskVmem(Ports& ports) const {
    if (read_valid_ && !read_ibuf_) ports.store_wants_vmem = 1u << (read_at_ / bank_bytes_ % 4);
    ports.store_goes_first = refused_;
  }
  EngineCycle Tick(const Descriptor* offered, const Dram::Bus& bus, const Ports& ports);

 private:
  static constexpr int64_t kDepth = 16;  // beats read and not sent
  int64_t beat_, bursts_max_, ahead_max_;
  DmaQueue queue_;
  RunWalk ask_, read_, send_;
  BurstGen burst_;
  WindowFifo fifo_;
  Realign realign_;
  // npu_chunk_reader.
  bool read_valid_ = false, read_middle_ = false, read_ibuf_ = false;
  bool refused_ = false;  // by VMEM, the cycle before
  int64_t read_rest_ = 0, read_at_ = 0, bank_bytes_;
  bool arrive_ = false;
  int64_t room_ = kDepth, ahead_ = 0, bursts_ = 0;
  std::vector<int64_t> waiting_;  // bursts of each instruction without response
  std::vector<bool> asked_;       // all addresses of the instruction are out
  bool done_ = false;
};

}  // namespace jacquard::perf
