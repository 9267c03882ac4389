#include "sim/perf/model/gather.h"

#include <algorithm>
#include <cstring>

namespace jacquard::perf {

Gather::Gather(int64_t burst_beats, int64_t beat_bytes, const Memory& memory)
    : memory_(memory), burst_(burst_beats), beat_(beat_bytes), room_(2 * burst_beats) {}

int64_t Gather::Chunk() const {
  return std::min(ask_left_, burst_ - static_cast<int64_t>(ask_dram_ / beat_ % burst_));
}

int64_t Gather::Index(uint64_t address, int64_t place) const {
  uint32_t index;
  if (memory_.size < sizeof(index) || address > memory_.size - sizeof(index)) return place;
  std::memcpy(&index, memory_.bytes + address, sizeof(index));
  return index;
}

bool Gather::Tick(const DmaQueue& queue, bool ask_next, bool push, bool row_next,
                  bool place_next) {
  const bool full = place_wr_ - place_rd_ == kPlaces;
  const bool row_move = (!row_valid_ || row_next) && !full;
  const bool product_move = !product_valid_ || row_move;
  const bool index_move = !index_valid_ || product_move;
  const bool take = use_ && stored_ != 0 && index_move;
  const bool last = use_left_ == 1;
  const bool pop = take && (last || use_at_ == beat_ - 4);
  bool changed = ask_next || push || row_next || place_next || take || index_valid_ ||
                 product_valid_;

  if (ask_next) {
    const int64_t chunk = Chunk();
    ask_dram_ += static_cast<uint64_t>(chunk * beat_);
    ask_left_ -= chunk;
    ask_ = ask_left_ != 0;
    room_ -= chunk;
  } else if (!ask_ && ask_next_ != queue.tail()) {
    const Descriptor& d = queue.at(ask_next_++);
    ask_ = d.gather;
    ask_dram_ = d.list / beat_ * beat_;
    ask_left_ = (static_cast<int64_t>(d.list % beat_) + 4 * d.n1 + beat_ - 1) / beat_;
    changed = true;
  }
  if (pop) room_++;
  stored_ += (push ? 1 : 0) - (pop ? 1 : 0);

  if (row_next) row_valid_ = false;
  if (row_move && product_valid_) {
    row_valid_ = true;
    row_dram_ = product_dram_;
    places_[place_wr_++ % kPlaces] = static_cast<int64_t>(product_dram_ % beat_);
  }
  if (place_next) place_rd_++;
  if (product_move) {
    product_valid_ = index_valid_;
    product_dram_ = index_dram_;
  }
  if (index_move) {
    index_valid_ = take;
    if (take) {
      const Descriptor& d = queue.at(use_slot_);
      const uint64_t at = d.list + 4 * static_cast<uint64_t>(use_row_);
      index_dram_ = d.dram + static_cast<uint64_t>(Index(at, use_row_++) * d.dram1);
    }
  }
  if (take) {
    use_at_ = (use_at_ + 4) % beat_;
    use_left_--;
    use_ = !last;
  } else if (!use_ && use_next_ != queue.tail()) {
    use_slot_ = use_next_++;
    const Descriptor& d = queue.at(use_slot_);
    use_ = d.gather;
    use_at_ = static_cast<int64_t>(d.list % beat_);
    use_left_ = d.n1;
    use_row_ = 0;
    changed = true;
  }
  return changed;
}

}  // namespace jacquard::perf
