#include "sim/perf/model/vector.h"

#include <bit>

namespace jacquard::perf {

Vector::Vector(const Params& p)
    : lanes_(p.lanes),
      obuf_row_bytes_(p.obuf_row_bytes),
      half_rows_(p.obuf_half_rows),
      line_shift_(std::bit_width(static_cast<uint64_t>(4 * p.lanes)) - 1),
      square_(p.lanes) {}

// VMEM's banks that hold a vector: one of bytes in one, of int16 in two, of int32 in all.
uint32_t Vector::Banks(int64_t address, Dtype dtype) const {
  const int64_t bank = address / lanes_ % 4;
  if (dtype == Dtype::kS8 || dtype == Dtype::kU8) return 1u << bank;
  if (dtype == Dtype::kS16 || dtype == Dtype::kU16) return bank < 2 ? 3 : 12;
  return 15;
}

// A read waits for the writes of older instructions to the same line.
bool Vector::Hazard() {
  if (clock_ > older_until_) return false;
  for (int stage = 1; stage <= kStages; stage++) {
    const Entry& e = Stage(stage);
    if (!e.valid || e.instr == instr_) continue;
    for (const int i : {kSrc1, kSrc2}) {
      if (buffer_[i] != Buffer::kIbuf && buffer_[i] != Buffer::kVmem) continue;
      const bool ibuf = buffer_[i] == Buffer::kIbuf;
      const int64_t line = at_[0][i] >> line_shift_;
      if (e.dst_in_ibuf == ibuf && e.dst_line == line) return true;
      if (e.has_dst2 && e.dst2_in_ibuf == ibuf && e.dst2_line == line) return true;
    }
  }
  return false;
}

EngineCycle Vector::Tick(Cycle now, const VectorFields* offered, Matrix& matrix, Ports& ports) {
  EngineCycle cycle;
  cycle.done = done_;
  done_ = false;

  // The write port: one destination after the other if they share a memory.
  const Entry& out = Stage(kStages);
  bool stall = false;
  if (out.valid) {
    const bool split = out.has_dst2 && out.dst_in_ibuf == out.dst2_in_ibuf;
    const bool written = !split || second_write_;
    stall = !written;
    const bool second = split && second_write_;
    if (!second) (out.dst_in_ibuf ? ports.vector_writes_ibuf : ports.vector_writes_vmem) = true;
    if (out.has_dst2 && (!split || second)) {
      (out.dst2_in_ibuf ? ports.vector_writes_ibuf : ports.vector_writes_vmem) = true;
    }
    done_ = written && out.done;
    second_write_ = split && !second_write_;
  }
  const Entry& look_up = Stage(kLookUp);
  ports.vector_reads_table |= look_up.valid && look_up.table && !stall;
  const bool drained = alive_ == 0 && !transposer_busy();

  // Issue.
  bool granted = false, issue = false, refused = false;
  const int wanted = reads_ & ~held_;
  const bool split = shared_ && wanted == 3;
  const int reads = !split ? wanted : second_read_ ? 2 : 1;
  if (active_ && !stall && !wait_drain_ && !Hazard()) {
    granted = true;
    bool ibuf = false;
    uint32_t vmem = 0;
    for (const int i : {kSrc1, kSrc2}) {
      if (!(reads >> i & 1)) continue;
      if (buffer_[i] == Buffer::kIbuf) {
        ibuf = true;
        granted &= !ports.matrix_reads_ibuf;
      } else if (buffer_[i] == Buffer::kObuf) {
        granted &= !matrix.ReadsObuf(now, at_[0][i] / obuf_row_bytes_ >= half_rows_);
      } else {
        vmem = Banks(at_[0][i], dtype_[i]);
      }
    }
    granted &= !(ports.store_goes_first && (vmem & ports.store_wants_vmem));
    refused = !granted;
    ports.vector_reads_ibuf |= granted && ibuf;
    if (granted) ports.vector_reads_vmem |= vmem;
    issue = granted && (!split || second_read_);
  }
  int level = 4;
  for (int loop = 3; loop >= 0; loop--) {
    if (left_[loop] != 0) level = loop;
  }
  const bool ready = !active_ || (issue && level == 4);
  cycle.accepted = offered && ready;
  cycle.busy = granted || stall;
  if (refused) cycle.blocked = EngineCycle::kPort;
  cycle.changed = active_ || !drained || cycle.accepted || cycle.done || done_;

  // The edge.
  if (active_ && drained) wait_drain_ = false;
  if (granted && split) second_read_ = !second_read_;
  if (!stall) {
    Move();
    Entry& entry = Stage(1);  // behind Move: the next cycle's
    entry.valid = issue;
    if (issue) {
      alive_++;
      entry.last = level >= reduce_loops_;
      entry.done = level == 4;
      entry.transpose = transpose_;
      entry.table = table_;
      entry.has_dst2 = has_[kDst2];
      entry.dst_in_ibuf = buffer_[kDst] == Buffer::kIbuf;
      entry.dst2_in_ibuf = buffer_[kDst2] == Buffer::kIbuf;
      entry.dst_line = at_[0][kDst] >> line_shift_;
      entry.dst2_line = at_[0][kDst2] >> line_shift_;
      entry.instr = instr_;
    }
  }
  const bool was_active = active_;
  if (issue) {
    if (level == 4) {
      active_ = false;
    } else {
      held_ = 0;
      if (level == 0 && !transpose_) {
        held_ = (stride_[0][kSrc1] == 0 ? 1 : 0) | (stride_[0][kSrc2] == 0 ? 2 : 0);
      }
      Step(level);
    }
  }
  if (cycle.accepted) {
    wait_drain_ = (transpose_ && (was_active || !drained)) || (wait_drain_ && !drained);
    Accept(*offered);
  }
  return cycle;
}

// All stages, and the transposer, move on by one.
void Vector::Move() {
  // Stage 11 is written; stage 3 lets only results go on.
  Entry& written = Stage(kStages);
  if (written.valid) {
    written.valid = false;
    alive_--;
  }
  Entry& reduced = Stage(3);
  if (reduced.valid && !reduced.last) {
    reduced.valid = false;
    alive_--;
  }
  Entry& at = Stage(2);
  const bool enters = at.valid && at.transpose;
  if (enters || flush_) {
    const Entry in = at;
    const bool leaves = full_;
    if (enters) alive_--;
    at.valid = false;
    if (leaves) {
      at = square_[index_];
      at.transpose = false;  // it is on its way out
      alive_++;
    }
    if (enters) square_[index_] = in;
    index_ = (index_ + 1) % lanes_;
    if (index_ == 0) {
      full_ = enters;
      flush_ = enters && in.done;
    }
  }
  clock_++;
}

void Vector::Step(int level) {
  left_[level]--;
  for (int loop = 0; loop < level; loop++) left_[loop] = count_[loop] - 1;
  for (int i = 0; i < kIterators; i++) {
    const int64_t to = at_[level][i] + stride_[level][i];
    for (int loop = 0; loop <= level; loop++) at_[loop][i] = to;
  }
}

void Vector::Accept(const VectorFields& f) {
  if (alive_ != 0) older_until_ = clock_ + kStages;
  active_ = true;
  instr_++;
  transpose_ = static_cast<VectorOp>(f.op) == VectorOp::kTranspose;
  table_ = f.table != 0;
  reduce_loops_ = static_cast<int>(f.reduce_loops);
  const uint32_t counts[4] = {f.n0, f.n1, f.n2, f.n3};
  for (int loop = 0; loop < 4; loop++) {
    count_[loop] = counts[loop];
    left_[loop] = count_[loop] - 1;
  }
  const uint32_t buffers[kIterators] = {f.src1_buffer, f.src2_buffer, f.dst_buffer, f.dst2_buffer};
  const int64_t bases[kIterators] = {f.src1_base, f.src2_base, f.dst_base, f.dst2_base};
  const int64_t strides[4][kIterators] = {
      {f.src1_stride0, f.src2_stride0, f.dst_stride0, f.dst2_stride0},
      {f.src1_stride1, f.src2_stride1, f.dst_stride1, f.dst2_stride1},
      {f.src1_stride2, f.src2_stride2, f.dst_stride2, f.dst2_stride2},
      {f.src1_stride3, f.src2_stride3, f.dst_stride3, f.dst2_stride3}};
  for (int i = 0; i < kIterators; i++) {
    buffer_[i] = static_cast<Buffer>(buffers[i]);
    has_[i] = buffer_[i] != Buffer::kNone;
    for (int loop = 0; loop < 4; loop++) {
      at_[loop][i] = has_[i] ? bases[i] : 0;
      const bool reduced = i >= kDst && loop < reduce_loops_;
      stride_[loop][i] = has_[i] && !reduced ? strides[loop][i] : 0;
    }
  }
  bool same = has_[kSrc1] && buffer_[kSrc1] == buffer_[kSrc2] && f.src1_dtype == f.src2_dtype &&
              at_[0][kSrc1] == at_[0][kSrc2];
  for (int loop = 0; loop < 4; loop++) same &= stride_[loop][kSrc1] == stride_[loop][kSrc2];
  dtype_[kSrc1] = static_cast<Dtype>(f.src1_dtype);
  dtype_[kSrc2] = static_cast<Dtype>(f.src2_dtype);
  reads_ = (has_[kSrc1] ? 1 : 0) | (has_[kSrc2] && !same ? 2 : 0);
  shared_ = buffer_[kSrc1] == buffer_[kSrc2];
  held_ = 0;
  second_read_ = false;
}

}  // namespace jacquard::perf
