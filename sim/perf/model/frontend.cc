#include "sim/perf/model/frontend.h"

#include <algorithm>

namespace jacquard::perf {

Fetch::Fetch(const Params& p, const Program& program, uint64_t address)
    : program_(program),
      beats_per_word_(std::max<int64_t>(kWordBytes / p.beat_bytes, 1)),
      words_per_beat_(std::max<int64_t>(p.beat_bytes / kWordBytes, 1)),
      room_(p.fetch_buffer_bytes / p.beat_bytes),
      next_beat_(address / p.beat_bytes),
      part_(static_cast<int64_t>(address % p.beat_bytes / kWordBytes)) {
  burst_ = std::min({room_ / 4, int64_t{256}, 4096 / p.beat_bytes});
  block_ = burst_ - static_cast<int64_t>(next_beat_ % burst_);
}

bool Fetch::Tick(bool arrives, bool taken) {
  const bool stop = end_;
  const bool ask = run_ && !stop && room_ >= block_;
  const bool stall = valid_ && !taken;
  const bool step = beat_valid_ && !stall && !stop;
  const bool last_part = part_ == beats_per_word_ * words_per_beat_ - 1;
  const bool take = step && (beats_per_word_ > 1 || last_part);
  const bool word = step && (beats_per_word_ == 1 || last_part);
  bool changed = ask || shown_ != 0 || arrives || taken || step || (run_ && stop);

  if (taken) {
    valid_ = false;
    index_++;
  }
  if (word && words_left_ == 0) {
    // Behind the last whole instruction nothing is known; the program ends there as well.
    if (index_ >= program_.size() || program_.header(index_).opcode == kOpcodeEnd) {
      end_ = true;
    } else {
      words_left_ = program_.header(index_).words - 1;
      valid_ = words_left_ == 0;
    }
  } else if (word) {
    words_left_--;
    valid_ = words_left_ == 0;
  }
  if (step) part_ = last_part ? 0 : part_ + 1;

  const bool had = stored_ != 0;
  if (take) beat_valid_ = false;
  if (!beat_valid_ && had) {
    beat_valid_ = true;
    stored_--;
    changed = true;
  }
  if (arrives && !stop) stored_++;

  flying_ -= arrives ? 1 : 0;
  room_ += take ? 1 : 0;
  shown_ = ask ? block_ : 0;
  if (ask) {
    flying_ += block_;
    room_ -= block_;
    next_beat_ += static_cast<uint64_t>(block_);
    block_ = burst_;  // from now on whole ones
  }
  if (stop) run_ = false;
  return changed;
}

Dispatch::Dispatch(const Params& p, const Program& program)
    : program_(program), depth_(static_cast<size_t>(p.queue_depth)), max_tokens_(p.max_tokens) {
  std::fill(std::begin(offered_), std::end(offered_), -1);
}

bool Dispatch::empty() const {
  for (uint32_t e = 0; e < kEngines; e++) {
    if (waiting(e) || flying(e)) return false;
  }
  return true;
}

void Dispatch::Look(uint32_t e) {
  offered_[e] = -1;
  missing_[e] = 0;
  if (queues_[e].empty()) return;
  const uint32_t index = queues_[e].front();
  const uint32_t pop = program_.header(index).pop;
  for (uint32_t from = 0; from < kEngines; from++) {
    if ((pop >> from & 1) && tokens_[from][e] == 0) missing_[e] |= 1u << from;
  }
  if (missing_[e] == 0 && flying_[e].size() < kInFlight - 1) offered_[e] = index;
}

bool Dispatch::Tick(int64_t fetched, const bool (&accepted)[kEngines], const bool (&done)[kEngines],
                    int64_t (&retired)[kEngines]) {
  bool changed = fetched >= 0;
  for (uint32_t e = 0; e < kEngines; e++) {
    retired[e] = -1;
    if (done[e]) late_[e]++;
    changed |= accepted[e] || late_[e] != 0;
  }
  if (!changed) return false;
  for (uint32_t e = 0; e < kEngines; e++) {
    if (late_[e] == 0) continue;
    const uint32_t index = flying_[e].front();
    const uint32_t push = program_.header(index).push;
    bool room = true;
    for (uint32_t to = 0; to < kEngines; to++) {
      room &= !(push >> to & 1) || tokens_[e][to] != max_tokens_;
    }
    if (room) retired[e] = index;
  }
  for (uint32_t e = 0; e < kEngines; e++) {
    if (retired[e] >= 0) {
      const uint32_t push = program_.header(static_cast<uint32_t>(retired[e])).push;
      for (uint32_t to = 0; to < kEngines; to++) tokens_[e][to] += push >> to & 1;
      flying_[e].pop_front();
      late_[e]--;
    }
    if (accepted[e]) {
      const uint32_t index = queues_[e].front();
      const uint32_t pop = program_.header(index).pop;
      for (uint32_t from = 0; from < kEngines; from++) tokens_[from][e] -= pop >> from & 1;
      queues_[e].pop_front();
      flying_[e].push_back(index);
    }
  }
  if (fetched >= 0) {
    const uint32_t index = static_cast<uint32_t>(fetched);
    queues_[EngineOf(program_.header(index).opcode)].push_back(index);
  }
  for (uint32_t e = 0; e < kEngines; e++) Look(e);
  return true;
}

}  // namespace jacquard::perf
