// Random vector instructions: legal ones, and ones with something wrong.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "vector_model.h"

namespace jacquard {

class Generator {
  static constexpr int kL = kLanes;

 public:
  explicit Generator(uint64_t seed) : rng_(seed) {}

  void fill(Memories& m) {
    for (auto& memory : m.bytes)
      for (auto& byte : memory) byte = rng_();
    // Small numbers beside large ones: rounding and saturation both need cases near their edges.
    for (uint32_t at = 0; at + 4 <= kObufBytes; at += 4)
      if (one_in(2)) m.store(3, at, 4, small());
    for (uint32_t at = 0; at + 4 <= kParamBytes; at += 4)
      if (one_in(2)) m.store(5, at, 4, small());
  }

  // An instruction that the checker would let pass. One in `short_in` is short.
  VectorInstr good() {
    for (;;) {
      VectorInstr v = attempt();
      if (check(v) == Error::kOk && obeys(v)) return remember(v);
    }
  }

  // An instruction with something wrong (or, rarely, still right).
  VectorInstr bad() {
    for (;;) {
      VectorInstr v = good();
      for (int i = 1 + below(2); i > 0; --i) spoil(v);
      if (v.iterations() > 20000) continue;
      if (check(v) != Error::kOk || obeys(v)) return v;
    }
  }

  bool one_in(uint64_t n) { return rng_() % n == 0; }
  int64_t below(int64_t n) { return static_cast<int64_t>(rng_() % n); }

 private:
  int32_t small() { return static_cast<int32_t>(below(4001)) - 2000; }
  int32_t any32() {
    static const int32_t special[] = {0, 1, -1, 2147483647, -2147483647 - 1, 2, 255, -128};
    if (one_in(4)) return special[below(8)];
    return one_in(2) ? small() : static_cast<int32_t>(rng_());
  }
  static uint32_t capacity(uint32_t buffer) {
    return buffer == 1 ? kIbufBytes : buffer == 3 ? kObufBytes : kVmemBytes;
  }
  uint32_t dtype_for(uint32_t buffer) {
    return buffer == 1 ? below(2) : buffer == 3 ? 4 : below(5);
  }

  // Sets the base so that every address lies inside; strides that reach too far become 0.
  void fit(Iterator& it, const std::array<uint32_t, 4>& n, uint32_t first_loop) {
    const int64_t size = kL * element_bytes(it.dtype);
    int64_t lowest = 0, highest = 0;
    for (uint32_t j = first_loop; j < 4; ++j) {
      const int64_t reach = int64_t{n[j] - 1} * it.stride[j];
      if (highest - lowest + std::abs(reach) + size > capacity(it.buffer)) {
        it.stride[j] = 0;
        continue;
      }
      (reach < 0 ? lowest : highest) += reach;
    }
    const int64_t room = (capacity(it.buffer) - (highest - lowest) - size) / size;
    int64_t start = below(room + 1);
    if (one_in(8)) start = room;                            // up to the last byte
    if (one_in(2)) start = std::min<int64_t>(start, below(24));  // crowded: hazards
    it.base = static_cast<uint32_t>(start * size - lowest);
  }

  Iterator source(const VectorInstr& v) {
    Iterator it;
    if (recent_.buffer && one_in(2)) {  // what an instruction shortly before has written
      it = recent_;
      if (one_in(2)) return it;
      for (auto& s : it.stride)
        if (one_in(2)) s = static_cast<int32_t>(below(3) - 1) * kL * element_bytes(it.dtype);
      return it;
    }
    static const uint32_t buffers[] = {1, 3, 4, 4};
    it.buffer = buffers[below(4)];
    it.dtype = dtype_for(it.buffer);
    const int32_t size = kL * element_bytes(it.dtype);
    for (auto& s : it.stride) s = static_cast<int32_t>(below(13) - 4) * size;
    fit(it, v.n, 0);
    return it;
  }

  Iterator destination(const VectorInstr& v) {
    Iterator it;
    it.buffer = one_in(2) ? 1 : 4;
    it.dtype = dtype_for(it.buffer);
    // Dense in a random order of the loops, sometimes with gaps, sometimes backwards.
    std::array<uint32_t, 4> order{0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), rng_);
    int64_t step = kL * element_bytes(it.dtype);
    for (uint32_t j : order) {
      if (j < v.reduce_loops) {
        it.stride[j] = static_cast<int32_t>(rng_()) >> 8;  // not looked at
        continue;
      }
      it.stride[j] = static_cast<int32_t>(one_in(4) ? -step : step);
      step *= v.n[j];
      if (one_in(4)) step += kL * element_bytes(it.dtype);
      if (v.n[j] == 1 && one_in(4)) it.stride[j] = static_cast<int32_t>(rng_()) >> 8;
      if (step > kVmemBytes) step = kL * element_bytes(it.dtype);
    }
    std::array<uint32_t, 4> n = v.n;
    Iterator fitted = it;
    for (uint32_t j = 0; j < 4; ++j)
      if (n[j] == 1) fitted.stride[j] = 0;
    fit(fitted, n, v.reduce_loops);
    it.base = fitted.base;
    return it;
  }

  VectorInstr attempt() {
    VectorInstr v;
    v.op = below(kOperations);
    const bool special = v.op >= 20 && v.op < 24;
    for (auto& count : v.n) count = 1 + below(one_in(3) ? 6 : 3);
    if (one_in(10)) v.n[below(4)] = 1 + below(150);
    if (one_in(6)) v.n = {1, 1, 1, static_cast<uint32_t>(1 + below(2))};
    if (v.op == 23) v.n[0] = kL;
    v.scale = v.op == 23 ? 0 : v.op == 21 || v.op == 22 ? 1 + below(2) : below(3);
    if (!special && one_in(2)) {
      v.reduce = below(3);
      v.reduce_loops = below(5);
      v.lane_reduce = below(2);
    }
    v.shift = one_in(3) ? below(64) : below(12);
    v.clamp = below(2);
    v.zero_point = static_cast<int16_t>(one_in(2) ? rng_() : below(256) - 128);
    v.lo = static_cast<int16_t>(one_in(2) ? rng_() : -below(200));
    v.hi = static_cast<int16_t>(one_in(2) ? rng_() : below(300));
    v.tail_lanes = v.op == 23 || one_in(2) ? 0 : one_in(8) ? below(256) : below(kL + 1);
    v.table = one_in(3);
    v.table_index = v.table ? below(kTableRows) : below(16);
    v.table_shift = below(16);
    v.imm1 = one_in(2) ? 0 : any32();
    v.imm2 = any32();
    v.mult1 = one_in(2) ? any32() : static_cast<int32_t>(rng_());
    v.mult2 = one_in(2) ? any32() : static_cast<int32_t>(rng_());
    if (one_in(3)) v.mult1 = 1 << below(12), v.mult2 = 1 << below(12);  // ties
    for (auto& s : v.param_stride) s = static_cast<int32_t>(below(5) - 2);
    v.param = below(kParamRows);
    v.dst = destination(v);
    if (one_in(3)) {
      v.dst2 = destination(v);
    } else if (one_in(4)) {
      v.dst2.dtype = below(8), v.dst2.base = below(1 << 24);  // absent: not looked at
    }
    if (!one_in(8)) v.src1 = source(v);
    if (v.op != 23 && (v.op < 12 || v.op > 12) && !one_in(4)) v.src2 = source(v);
    if (one_in(6) && v.op != 23) v.src2 = v.src1;  // the same vector twice
    if (one_in(8) && v.reduce_loops == 0 && v.op != 23) v.src1 = v.dst;  // in place
    return v;
  }

  // No byte is written twice, none is read that another element of the instruction writes.
  bool obeys(const VectorInstr& v) {
    std::vector<Access> reads, writes;
    accesses(v, reads, writes);
    if (reads.size() + writes.size() > 4000) return false;
    std::map<std::pair<uint32_t, int64_t>, const Access*> owner;  // by smallest vector
    for (const Access& w : writes) {
      for (int64_t a = w.address; a < w.address + w.size; a += kL)
        if (!owner.emplace(std::make_pair(w.buffer, a), &w).second) return false;
    }
    const bool same_iteration = v.reduce_loops == 0 && v.op != 23;
    for (const Access& r : reads) {
      for (int64_t a = r.address; a < r.address + r.size; a += kL) {
        const auto found = owner.find({r.buffer, a});
        if (found == owner.end()) continue;
        const Access& w = *found->second;
        if (!same_iteration || w.iteration != r.iteration || w.address != r.address ||
            w.size != r.size)
          return false;
      }
    }
    return true;
  }

  VectorInstr remember(const VectorInstr& v) {
    recent_ = one_in(2) && v.dst2.present() ? v.dst2 : v.dst;
    for (uint32_t j = 0; j < 4; ++j)
      if (j < v.reduce_loops) recent_.stride[j] = 0;
    return v;
  }

  // Moves an iterator so that its last vector ends with its memory, or one vector further.
  void to_the_end(const VectorInstr& v, Iterator& it) {
    if (!it.present() || it.dtype > 4) return;
    const bool write = &it == &v.dst || &it == &v.dst2;
    int64_t highest = it.base;
    for (uint32_t j = write ? v.reduce_loops : 0; j < 4; ++j)
      if (it.stride[j] > 0) highest += int64_t{v.n[j] - 1} * it.stride[j];
    it.base += capacity(it.buffer) - highest - (one_in(2) ? kL * element_bytes(it.dtype) : 0);
  }

  void spoil(VectorInstr& v) {
    Iterator* iterators[] = {&v.dst, &v.src1, &v.src2, &v.dst2};
    Iterator& it = *iterators[below(4)];
    switch (below(17)) {
      case 0: v.n[below(4)] = 0; break;
      case 1: v.op = below(64); break;
      case 2: v.reduce = below(4); break;
      case 3: v.reduce_loops = below(8); break;
      case 4: v.scale = below(4); break;
      case 5: v.lane_reduce ^= 1; break;
      case 6: it.buffer = below(8); break;
      case 7: it.dtype = below(8); break;
      case 8: it.base += 1 + below(4 * kL); break;
      case 9: it.base = below(1 << 24) & ~(4 * kL - 1); break;
      case 10: it.stride[below(4)] = static_cast<int32_t>(rng_()) >> 8; break;
      case 11: it.stride[below(4)] = (static_cast<int32_t>(rng_()) >> 8) & ~(4 * kL - 1); break;
      case 12: v.param = below(2 * kParamRows); break;
      case 13: v.n[below(4)] += below(400); break;
      case 14: v.param = kParamRows; break;
      case 15: to_the_end(v, it); break;
      case 16: v.table = 1, v.table_index = kTableRows + below(16 - kTableRows); break;
    }
    it.base &= 0xffffff;
  }

  std::mt19937_64 rng_;
  Iterator recent_;
};

}  // namespace jacquard
