#include "sim/perf/model/matrix.h"

#include <algorithm>

namespace jacquard::perf {

bool Matrix::ReadsObuf(Cycle now, bool upper) {
  const Cycle issued = now - 1 - rows_;
  while (!tags_.empty() && tags_.front().start + tags_.front().positions <= issued) {
    tags_.pop_front();
  }
  if (tags_.empty()) return false;
  const Pass& pass = tags_.front();
  if (issued < pass.start || pass.first) return false;
  return (pass.obuf + issued - pass.start >= half_rows_) == upper;
}

EngineCycle Matrix::Tick(Cycle now, const MatrixFields* offered) {
  EngineCycle cycle;
  if (!done_.empty() && done_.front() == now) {
    cycle.done = true;
    done_.pop_front();
  }
  // The position side takes a pass in the cycle before its first position.
  const Cycle end = start_ + positions_ - 1;
  const Cycle free = std::max(end, start_ + rows_ - 1);
  const bool last = passes_left_ == 1;
  bool take = false;
  if (valid_ && !taken_ && now >= (transposed_ ? read_end_ : read_start_) && now >= free) {
    // It would read the row that is being written.
    const bool reuse =
        now == end && pass_ == 0 && accumulate_ && obuf_ == run_obuf_ + positions_ - 1;
    take = !reuse;
  }
  if (take) {
    start_ = now + 1;
    positions_ = instr_positions_;
    run_obuf_ = obuf_;
    // Old tags go only as VECTOR looks; behind these many nobody can be interested.
    while (!tags_.empty() && tags_.front().start + tags_.front().positions < now - rows_ - 1) {
      tags_.pop_front();
    }
    tags_.push_back({start_, positions_, obuf_, pass_ == 0 && !accumulate_});
    if (last) done_.push_back(start_ + positions_ + rows_ + 1);
  }
  const bool finished = valid_ && (take || taken_) && now >= read_end_;
  if (offered && (!valid_ || (finished && last))) {
    cycle.accepted = true;
    valid_ = true;
    taken_ = false;
    pass_ = 0;
    passes_left_ = int64_t{offered->n_kx} * offered->n_ky * offered->n_c;
    instr_positions_ = int64_t{offered->n_x} * offered->n_y;
    obuf_ = offered->obuf;
    accumulate_ = offered->accumulate != 0;
    transposed_ = offered->weight_transposed != 0;
    read_start_ = now + 1;
    read_end_ = now + rows_;
  } else if (finished) {
    taken_ = false;
    pass_++;
    passes_left_--;
    valid_ = !last;
    read_start_ = now + 1;
    read_end_ = now + rows_;
  } else if (take) {
    taken_ = true;
  }
  cycle.changed = cycle.accepted || take || finished || cycle.done;
  Plan(now);
  return cycle;
}

void Matrix::Plan(Cycle now) {
  next_ = done_.empty() ? kNever : done_.front();
  const Cycle end = start_ + positions_;  // the books close on BUSY
  if (end > now) next_ = std::min(next_, end);
  if (!valid_) return;
  Cycle at = read_end_;
  if (!taken_) {
    at = std::max({transposed_ ? read_end_ : read_start_, end - 1, start_ + rows_ - 1});
    at = std::max(at, now + 1);
  }
  next_ = std::min(next_, std::max(at, now + 1));
  if (read_end_ + 1 > now) next_ = std::min(next_, read_end_ + 1);
}

}  // namespace jacquard::perf
