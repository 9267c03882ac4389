// What LOAD and STORE are made of, as in hw/dma: the same units, state and cycle for cycle, without
// data. Every Tick moves a unit over one clock edge and returns whether anything changed.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/perf/model/params.h"

namespace jacquard::perf {

// npu_dma_pkg::desc_t.
struct Descriptor {
  uint32_t buffer = 0;
  int64_t n0 = 1, n1 = 1, n2 = 1, n3 = 1;
  int64_t before0 = 0, after0 = 0, before1 = 0, after1 = 0;
  int64_t chip = 0, chip1 = 0, chip2 = 0, chip3 = 0;
  uint64_t dram = 0;
  int64_t dram1 = 0, dram2 = 0, dram3 = 0;
  bool gather = false;
  uint64_t list = 0;
};

int64_t BurstBeats(int64_t buffer_bytes, int64_t beat_bytes);

// npu_dma_queue: a descriptor reaches the walkers four cycles after it came.
class DmaQueue {
 public:
  explicit DmaQueue(int64_t slots) : slots_(slots) {}
  bool ready() const { return !checking_ && !full_; }
  bool active() const { return checking_ || head_ != tail_; }
  uint32_t tail() const { return tail_; }
  uint32_t head() const { return head_; }
  const Descriptor& at(uint32_t slot) const { return slots_[slot % slots_.size()]; }
  bool Tick(const Descriptor* accepted, bool free);

 private:
  std::vector<Descriptor> slots_;
  uint32_t head_ = 0, tail_ = 0;
  int step_ = 0;
  bool checking_ = false, full_ = false;
};

// npu_run_walk.
class RunWalk {
 public:
  bool valid = false;
  bool last = false;
  uint32_t slot = 0;
  int64_t chip = 0;     // of byte 0, padding included
  uint64_t dram = 0;    // of the first byte that is not padding
  int64_t bytes = 0, before = 0, data = 0;

  bool Tick(const DmaQueue& queue, bool next);

 private:
  void Start(const Descriptor& d);
  void Step(const Descriptor& d);
  uint32_t next_ = 0;
  int64_t i1_ = 0, i2_ = 0, i3_ = 0;
  int64_t chip2_ = 0, chip3_ = 0;
  uint64_t dram2_ = 0, dram3_ = 0;
};

// npu_burst_gen.
class BurstGen {
 public:
  BurstGen(int64_t burst_beats, int64_t beat_bytes);

  struct Out {
    bool next = false;   // the run is done with
    bool issue = false;
    int64_t beats = 0;
  };
  // What this cycle does with a run, given the room there is.
  Out Look(bool valid, uint64_t dram, int64_t data, int64_t room, bool slot_free) const;
  bool Tick(const Out& out, uint64_t dram, int64_t data);
  bool middle() const { return middle_; }
  // An address is shown in this cycle, and taken: DRAM is always ready for one.
  bool valid() const { return valid_; }
  int64_t shown_beats() const { return shown_; }

 private:
  int64_t Beats(uint64_t dram, int64_t data) const {
    return (static_cast<int64_t>(dram & in_beat_) + data + static_cast<int64_t>(in_beat_)) >>
           shift_;
  }
  int64_t burst_;
  int shift_;         // of a byte address to its beat
  uint64_t in_beat_;  // a byte's place in its beat
  bool valid_ = false, middle_ = false;
  int64_t shown_ = 0;
  uint64_t rest_beat_ = 0;  // what is left of the run: from this beat in DRAM, so many
  int64_t rest_beats_ = 0;
};

// npu_window_fifo, counts alone.
class WindowFifo {
 public:
  int count() const { return fill_ > 2 ? 2 : fill_; }
  bool Tick(bool push, int pop) {
    if (!push && !reading_ && stored_ == 0 && pop == 0) return false;
    const bool arrived = reading_;
    fill_ += (arrived ? 1 : 0) - pop;
    reading_ = stored_ != 0 && fill_ < 4;
    stored_ += (push ? 1 : 0) - (reading_ ? 1 : 0);
    return push || pop != 0 || arrived || reading_;
  }

 private:
  int stored_ = 0, fill_ = 0;
  bool reading_ = false;
};

// npu_realign: source beats to destination chunks, one a cycle.
class Realign {
 public:
  explicit Realign(int64_t beat_bytes) : beat_(beat_bytes) {}

  struct Out {
    bool emit = false, next = false, starved = false, finish = false;
    int pop = 0;
  };
  Out Look(bool run_valid, int count, bool gate, bool ready) const;
  bool Tick(const Out& out, bool ready, int64_t to, int64_t from, int64_t bytes, int64_t before,
            int64_t data, bool last);
  // The chunk at the output.
  bool valid() const { return valid_; }
  bool instr_end() const { return instr_end_; }
  int64_t addr() const { return out_addr_; }

 private:
  int64_t beat_;
  bool active_ = false, last_ = false;
  int64_t end_ = 0, low_ = 0, high_ = 0, shift_ = 0;
  int64_t addr_ = 0, out_addr_ = 0;
  bool valid_ = false, instr_end_ = false;
};

}  // namespace jacquard::perf
