// npu_vector: iterations through the pipe, with the memories' lines that they will write.
#pragma once

#include <cstdint>
#include <vector>

#include "npu_isa.h"
#include "sim/perf/model/engine.h"
#include "sim/perf/model/matrix.h"
#include "sim/perf/model/params.h"

namespace jacquard::perf {

class Vector {
 public:
  explicit Vector(const Params& p);
  // Fills in VECTOR's part of `ports`.
  EngineCycle Tick(Cycle now, const VectorFields* offered, Matrix& matrix, Ports& ports);

 private:
  static constexpr int kStages = 11;
  static constexpr int kLookUp = 9;  // TABLE is read for what is in front of this stage
  static constexpr int kIterators = 4;
  enum { kSrc1, kSrc2, kDst, kDst2 };

  // An iteration on its way; where it writes.
  struct Entry {
    bool valid = false;
    bool last = false;  // its result goes on behind stage 3
    bool done = false;
    bool transpose = false;
    bool table = false;
    bool has_dst2 = false;
    bool dst_in_ibuf = false, dst2_in_ibuf = false;
    int64_t dst_line = 0, dst2_line = 0;
    int64_t instr = 0;
  };
  Entry& Stage(int stage) { return ring_[(clock_ - stage) & 15]; }
  bool transposer_busy() const { return full_ || index_ != 0; }
  uint32_t Banks(int64_t address, Dtype dtype) const;
  bool Hazard();
  void Accept(const VectorFields& f);
  void Step(int level);
  void Move();

  int64_t lanes_, obuf_row_bytes_, half_rows_;
  int line_shift_;

  // The instruction at hand.
  bool active_ = false, wait_drain_ = false, second_read_ = false;
  bool shared_ = false;  // both sources lie in one memory
  int reads_ = 0;        // sources that are read
  int held_ = 0;         // those whose data are the iteration's before
  bool has_[kIterators] = {};
  Buffer buffer_[kIterators] = {};
  Dtype dtype_[2] = {};  // of the sources
  int64_t at_[4][kIterators] = {};      // of loop j, where its current iteration began
  int64_t stride_[4][kIterators] = {};
  int64_t count_[4] = {}, left_[4] = {};
  int reduce_loops_ = 0;
  bool transpose_ = false, table_ = false;
  int64_t instr_ = 0;

  // The pipe. An iteration that entered at clock c is in front of stage s at clock c + s.
  Entry ring_[16];
  int64_t clock_ = 0;
  int alive_ = 0;
  int64_t older_until_ = -1;  // clock at which the last older iteration has left
  bool second_write_ = false;
  bool done_ = false;

  // npu_vector_transpose.
  std::vector<Entry> square_;
  int64_t index_ = 0;
  bool full_ = false, flush_ = false;
};

}  // namespace jacquard::perf
