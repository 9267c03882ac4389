// npu_matrix: passes. Nothing holds the engine up once it runs (it comes first at every port), so
// it moves from event to event: a pass taken, its weights read, an instruction done.
#pragma once

#include <cstdint>
#include <deque>

#include "npu_isa.h"
#include "sim/perf/model/engine.h"
#include "sim/perf/model/params.h"

namespace jacquard::perf {

class Matrix {
 public:
  explicit Matrix(const Params& p)
      : rows_(p.rows), half_rows_(p.obuf_half_rows) {}

  // A position is issued in this cycle, so IBUF's port is taken. Before Tick.
  bool ReadsIbuf(Cycle now) const { return now >= start_ && now < start_ + positions_; }
  // A tag reads this half of OBUF in this cycle.
  bool ReadsObuf(Cycle now, bool upper);
  // Before Tick.
  bool Busy(Cycle now) const {
    return ReadsIbuf(now) || (valid_ && now >= read_start_ && now <= read_end_);
  }
  // The next cycle in which Tick has something to do of itself.
  Cycle next() const { return next_; }
  // Would take an instruction now, whatever else happens.
  bool idle() const { return !valid_; }
  EngineCycle Tick(Cycle now, const MatrixFields* offered);

 private:
  struct Pass {
    Cycle start;
    int64_t positions;
    int64_t obuf;
    bool first;
  };
  void Plan(Cycle now);

  int64_t rows_, half_rows_;
  // The weight side: one instruction, one pass ahead.
  bool valid_ = false, taken_ = false;
  int64_t passes_left_ = 0, pass_ = 0, instr_positions_ = 0, obuf_ = 0;
  bool accumulate_ = false, transposed_ = false;
  Cycle read_start_ = 0, read_end_ = 0;
  // The position side: the pass that runs or ran last.
  Cycle start_ = -1;
  int64_t positions_ = 0;
  int64_t run_obuf_ = 0;
  std::deque<Pass> tags_;  // passes whose tags may still come to OBUF
  std::deque<Cycle> done_;
  Cycle next_ = kNever;
};

}  // namespace jacquard::perf
