#include "sim/perf/model/dma.h"

#include <algorithm>
#include <bit>

namespace jacquard::perf {

int64_t BurstBeats(int64_t buffer_bytes, int64_t beat_bytes) {
  const int64_t beats =
      std::min({buffer_bytes / beat_bytes / 8, int64_t{256}, 4096 / beat_bytes});
  return std::max(beats, int64_t{1});
}

bool DmaQueue::Tick(const Descriptor* accepted, bool free) {
  if (!accepted && !checking_ && !free) return false;
  if (checking_) {
    if (++step_ == 3) {
      checking_ = false;
      tail_++;
    }
  } else if (accepted) {
    slots_[tail_ % slots_.size()] = *accepted;
    checking_ = true;
    step_ = 0;
  }
  if (free) head_++;
  full_ = tail_ - head_ == slots_.size();
  return true;
}

void RunWalk::Start(const Descriptor& d) {
  valid = true;
  i1_ = i2_ = i3_ = 0;
  bytes = d.n0;
  before = d.before0;
  chip = chip2_ = chip3_ = d.chip;
  dram = dram2_ = dram3_ = d.dram;
  const int64_t inner = d.n0 - d.before0 - d.after0;
  data = d.before1 == 0 && d.n1 != d.after1 ? inner : 0;
  last = d.n1 == 1 && d.n2 == 1 && d.n3 == 1;
}

void RunWalk::Step(const Descriptor& d) {
  if (i1_ != d.n1 - 1) {
    // Padding runs at the head of loop 1 do not move in DRAM.
    if (i1_ >= d.before1) dram += static_cast<uint64_t>(d.dram1);
    chip += d.chip1;
    i1_++;
  } else {
    i1_ = 0;
    if (i2_ != d.n2 - 1) {
      chip2_ += d.chip2;
      dram2_ += static_cast<uint64_t>(d.dram2);
      i2_++;
    } else {
      chip3_ += d.chip3;
      dram3_ += static_cast<uint64_t>(d.dram3);
      chip2_ = chip3_;
      dram2_ = dram3_;
      i2_ = 0;
      i3_++;
    }
    chip = chip2_;
    dram = dram2_;
  }
  last = i1_ == d.n1 - 1 && i2_ == d.n2 - 1 && i3_ == d.n3 - 1;
  data = i1_ >= d.before1 && i1_ < d.n1 - d.after1 ? d.n0 - d.before0 - d.after0 : 0;
}

bool RunWalk::Tick(const DmaQueue& queue, bool next) {
  if (valid ? !next : next_ == queue.tail()) return false;
  if (valid && !last) {
    Step(queue.at(slot));
  } else if (next_ != queue.tail()) {
    slot = next_++;
    Start(queue.at(slot));
  } else {
    valid = false;
  }
  return true;
}

BurstGen::BurstGen(int64_t burst_beats, int64_t beat_bytes)
    : burst_(burst_beats),
      shift_(std::countr_zero(static_cast<uint64_t>(beat_bytes))),
      in_beat_(static_cast<uint64_t>(beat_bytes) - 1) {}

BurstGen::Out BurstGen::Look(bool valid, uint64_t dram, int64_t data, int64_t room,
                             bool slot_free) const {
  Out out;
  if (!valid) return out;
  if (data == 0) {
    out.next = true;
    return out;
  }
  const uint64_t beat = middle_ ? rest_beat_ : dram >> shift_;
  const int64_t beats = middle_ ? rest_beats_ : Beats(dram, data);
  const int64_t block = burst_ - (static_cast<int64_t>(beat) & (burst_ - 1));
  out.beats = std::min(beats, block);
  out.issue = slot_free && room >= out.beats;
  out.next = out.issue && out.beats == beats;
  return out;
}

bool BurstGen::Tick(const Out& out, uint64_t dram, int64_t data) {
  if (!out.issue) {
    const bool changed = valid_;
    valid_ = false;
    return changed;
  }
  if (!middle_) {
    rest_beat_ = dram >> shift_;
    rest_beats_ = Beats(dram, data);
  }
  valid_ = true;
  shown_ = out.beats;
  middle_ = !out.next;
  rest_beat_ += static_cast<uint64_t>(out.beats);
  rest_beats_ -= out.beats;
  return true;
}

Realign::Out Realign::Look(bool run_valid, int count, bool gate, bool ready) const {
  Out out;
  if (!active_) {
    out.next = run_valid;
    return out;
  }
  bool enough = true;
  out.finish = end_ <= beat_;
  if (low_ < beat_ && high_ > 0 && low_ < high_) {
    const int64_t reach = shift_ + std::min(high_, beat_);
    const int need = reach > beat_ ? 2 : 1;
    enough = count >= need;
    out.pop = high_ <= beat_ ? need : reach >= beat_ ? 1 : 0;
  }
  out.starved = !enough;
  out.emit = enough && gate && (!valid_ || ready);
  if (!out.emit) out.pop = 0;
  out.next = run_valid && out.emit && out.finish;
  return out;
}

bool Realign::Tick(const Out& out, bool ready, int64_t to, int64_t from, int64_t bytes,
                   int64_t before, int64_t data, bool last) {
  bool changed = false;
  if (valid_ && ready) {
    valid_ = false;
    changed = true;
  }
  if (out.emit) {
    out_addr_ = addr_;
    instr_end_ = out.finish && last_;
    valid_ = true;
    addr_ += beat_;
    end_ -= beat_;
    low_ -= beat_;
    high_ -= beat_;
    shift_ += out.pop == 0 ? beat_ : out.pop == 1 ? 0 : -beat_;
    if (out.finish) active_ = false;
    changed = true;
  }
  if (out.next) {
    const int64_t first = to % beat_;
    const int64_t base = first + before;
    active_ = true;
    last_ = last;
    addr_ = to - first;
    end_ = first + bytes;
    low_ = base;
    high_ = base + data;
    shift_ = from - base;
    changed = true;
  }
  return changed;
}

}  // namespace jacquard::perf
