// The simulated DRAM as sim/rtl/dram.cc has it, without its bytes: one beat a cycle for all masters
// in turn, a fixed latency from an address to its first beat and from the last write beat to B.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

#include "sim/perf/model/params.h"

namespace jacquard::perf {

class Dram {
 public:
  enum Master { kFetch, kLoad, kStore, kMasters };

  explicit Dram(Cycle latency) : latency_(latency) {}

  // What the masters' registers show in this cycle, before Step.
  void AskRead(Master master, uint32_t beats, Cycle now) {
    Reader& reader = readers_[master];
    reader.last_due = std::max(reader.last_due, now + latency_);
    reader.requests.push_back({reader.last_due, beats});
  }
  void AskWrite(uint32_t beats) { writes_.push_back(beats); }

  // What the bus does in this cycle. `data`: STORE shows a beat.
  struct Bus {
    bool moves = false;       // some beat passes
    bool read[2] = {};        // a beat for kFetch, kLoad
    bool last = false;        // the last one of its burst
    bool write_taken = false;
    bool response = false;    // to a write burst
  };
  Bus Step(Cycle now, bool data) {
    Bus bus;
    if (!responses_.empty() && responses_.front() <= now) {
      bus.response = true;
      responses_.pop_front();
    }
    bool wants[kMasters] = {};
    for (int master = 0; master < kStore; master++) {
      const Reader& reader = readers_[master];
      wants[master] = !reader.requests.empty() && reader.requests.front().due <= now;
    }
    wants[kStore] = data && !writes_.empty();
    if (!wants[kFetch] && !wants[kLoad] && !wants[kStore]) return bus;
    while (!wants[turn_]) turn_ = (turn_ + 1) % kMasters;
    const int master = turn_;
    turn_ = (turn_ + 1) % kMasters;
    bus.moves = true;
    beats_[master]++;
    if (master == kStore) {
      bus.write_taken = true;
      if (--writes_.front() == 0) {
        writes_.pop_front();
        last_response_ = std::max(last_response_, now + latency_);
        responses_.push_back(last_response_);
      }
      return bus;
    }
    Reader& reader = readers_[master];
    bus.read[master] = true;
    bus.last = --reader.requests.front().beats == 0;
    if (bus.last) reader.requests.pop_front();
    return bus;
  }

  // The first cycle in which it does something of itself.
  Cycle NextDue() const {
    Cycle due = responses_.empty() ? kNever : responses_.front();
    for (const Reader& reader : readers_) {
      if (!reader.requests.empty()) due = std::min(due, reader.requests.front().due);
    }
    return due;
  }

  int64_t beats(Master master) const { return beats_[master]; }

 private:
  struct Request {
    Cycle due;
    uint32_t beats;
  };
  struct Reader {
    std::deque<Request> requests;
    Cycle last_due = 0;
  };

  Cycle latency_;
  Reader readers_[2];
  std::deque<uint32_t> writes_;   // beats left of each burst
  std::deque<Cycle> responses_;
  Cycle last_response_ = 0;
  int turn_ = 0;
  int64_t beats_[kMasters] = {};
};

}  // namespace jacquard::perf
