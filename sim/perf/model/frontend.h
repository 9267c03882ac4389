// npu_fetch and npu_dispatch without data.
#pragma once

#include <cstdint>
#include <deque>

#include "npu_isa.h"
#include "sim/perf/model/dram.h"
#include "sim/perf/model/params.h"
#include "sim/perf/model/program.h"

namespace jacquard::perf {

inline constexpr uint32_t kEngines = kNumEngines;

class Fetch {
 public:
  Fetch(const Params& p, const Program& program, uint64_t address);

  void Ask(Dram& dram, Cycle now) {
    if (shown_) dram.AskRead(Dram::kFetch, static_cast<uint32_t>(shown_), now);
  }
  bool valid() const { return valid_; }
  bool end() const { return end_; }
  bool quiet() const { return flying_ == 0 && !shown_; }
  uint32_t index() const { return index_; }
  // One clock edge. taken: the instruction shown was put into its queue.
  bool Tick(bool arrives, bool taken);

 private:
  const Program& program_;
  int64_t burst_, beats_per_word_, words_per_beat_;
  // Bus side.
  bool run_ = true;
  int64_t shown_ = 0, room_, flying_ = 0;
  uint64_t next_beat_;  // in DRAM
  int64_t block_;       // beats from there to the end of its block
  // Buffer, and the beat being taken apart.
  int64_t stored_ = 0, part_;
  bool beat_valid_ = false;
  // Assembly.
  bool valid_ = false, end_ = false;
  uint32_t index_ = 0;
  int64_t words_left_ = 0;
};

class Dispatch {
 public:
  Dispatch(const Params& p, const Program& program);

  bool full(uint32_t engine) const { return queues_[engine].size() == depth_; }
  // The instruction offered to an engine, or -1.
  int64_t Offered(uint32_t engine) const { return offered_[engine]; }
  bool waiting(uint32_t engine) const { return !queues_[engine].empty(); }
  bool flying(uint32_t engine) const { return !flying_[engine].empty(); }
  bool empty() const;
  // Engines of which the head of the queue lacks a token.
  uint32_t missing(uint32_t engine) const { return missing_[engine]; }

  // One clock edge. fetched: an instruction that goes into its queue, or -1. retired: the
  // instruction of each engine that finishes in this cycle, or -1.
  bool Tick(int64_t fetched, const bool (&accepted)[kEngines], const bool (&done)[kEngines],
            int64_t (&retired)[kEngines]);
  // Of an engine with an instruction flying or waiting.
  uint32_t oldest(uint32_t engine) const {
    return flying(engine) ? flying_[engine].front() : queues_[engine].front();
  }

 private:
  static constexpr size_t kInFlight = 16;
  void Look(uint32_t engine);

  const Program& program_;
  size_t depth_;
  int64_t max_tokens_;
  std::deque<uint32_t> queues_[kEngines], flying_[kEngines];
  int64_t tokens_[kEngines][kEngines] = {};  // [from][to]
  int late_[kEngines] = {};
  uint32_t missing_[kEngines] = {};
  int64_t offered_[kEngines];
};

}  // namespace jacquard::perf
