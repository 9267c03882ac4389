// npu_gather: the indices of gathers, fetched ahead of their rows. They are looked up in DRAM as it
// was at the start; where that is not known index i names row i. Time depends on them by the rows'
// alignment alone.
#pragma once

#include <cstdint>

#include "sim/perf/model/dma.h"

namespace jacquard::perf {

class Gather {
 public:
  Gather(int64_t burst_beats, int64_t beat_bytes, const Memory& memory);

  // A burst of indices, for BurstGen.
  bool ask_valid() const { return ask_ && room_ >= Chunk(); }
  uint64_t ask_dram() const { return ask_dram_; }
  int64_t ask_bytes() const { return Chunk() * beat_; }
  // The next row, for the asking side.
  bool row_valid() const { return row_valid_; }
  uint64_t row_dram() const { return row_dram_; }
  // The oldest row not being filled, for the filling side.
  bool place_valid() const { return place_wr_ != place_rd_; }
  int64_t place_from() const { return places_[place_rd_ % kPlaces]; }

  bool Tick(const DmaQueue& queue, bool ask_next, bool push, bool row_next, bool place_next);

 private:
  static constexpr uint32_t kPlaces = 64;
  int64_t Chunk() const;
  int64_t Index(uint64_t address, int64_t place) const;

  Memory memory_;
  int64_t burst_, beat_;
  bool ask_ = false;
  uint32_t ask_next_ = 0;
  uint64_t ask_dram_ = 0;
  int64_t ask_left_ = 0;
  int64_t room_;
  int64_t stored_ = 0;  // beats of indices
  bool use_ = false;
  uint32_t use_next_ = 0, use_slot_ = 0;
  int64_t use_at_ = 0, use_left_ = 0, use_row_ = 0;
  bool index_valid_ = false, product_valid_ = false, row_valid_ = false;
  uint64_t index_dram_ = 0, product_dram_ = 0, row_dram_ = 0;
  int64_t places_[kPlaces] = {};
  uint32_t place_wr_ = 0, place_rd_ = 0;
};

}  // namespace jacquard::perf
