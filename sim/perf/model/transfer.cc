#include "sim/perf/model/transfer.h"

#include <algorithm>

#include "npu_isa.h"

namespace jacquard::perf {

Load::Load(const Params& p, const Memory& memory)
    : beat_(p.beat_bytes),
      bursts_max_(p.load_bursts),
      list_beats_(std::min(BurstBeats(p.load_buffer_bytes, p.beat_bytes), int64_t{8})),
      table_words_(p.beat_bytes / 4),
      queue_(p.load_slots),
      burst_(BurstBeats(p.load_buffer_bytes, p.beat_bytes), p.beat_bytes),
      gather_(list_beats_, p.beat_bytes, memory),
      realign_(p.beat_bytes),
      room_(p.load_buffer_bytes / p.beat_bytes) {}

EngineCycle Load::Tick(const Descriptor* offered, const Dram::Bus& bus, const Ports& ports) {
  EngineCycle cycle;
  cycle.done = done_;
  cycle.accepted = offered && queue_.ready();
  const bool arrives = bus.read[Dram::kLoad];

  // Asking side: indices go before what the runs ask for, but not between the bursts of one.
  const bool ask_gather = ask_.valid && queue_.at(ask_.slot).gather;
  const bool list = gather_.ask_valid() && !burst_.middle() &&
                    !(ask_.valid && !ask_gather && ask_.data == 0);
  bool run_valid = ask_.valid;
  uint64_t run_dram = ask_.dram;
  int64_t run_data = ask_.data;
  if (list) {
    run_valid = true;
    run_dram = gather_.ask_dram();
    run_data = gather_.ask_bytes();
  } else if (ask_gather) {
    run_valid = gather_.row_valid();
    run_dram = gather_.row_dram();
  }
  const BurstGen::Out burst = burst_.Look(run_valid, run_dram, run_data,
                                          list ? list_beats_ : room_, bursts_ != bursts_max_);
  const bool ask_next = burst.next && !list;

  // The write port.
  const Descriptor& oldest = queue_.at(queue_.head());
  const auto buffer = static_cast<Buffer>(oldest.buffer);
  bool table_step = false, write_ready = true;
  if (realign_.valid()) {
    if (buffer == Buffer::kIbuf) write_ready = !ports.vector_writes_ibuf;
    if (buffer == Buffer::kVmem) write_ready = !ports.vector_writes_vmem;
    if (buffer == Buffer::kTable) {
      table_step = !ports.vector_reads_table;
      write_ready = table_step && table_sub_ == table_words_ - 1;
    }
  }
  const bool write = realign_.valid() && write_ready;
  const bool free = write && realign_.instr_end();

  // Filling side.
  const bool fill_gather = fill_.valid && queue_.at(fill_.slot).gather;
  const Realign::Out chunk = realign_.Look(fill_.valid && (!fill_gather || gather_.place_valid()),
                                           fifo_.count(), true, write_ready);
  const bool active = queue_.active();
  cycle.busy = write || (arrives && active);
  if (active) {
    if (realign_.valid() && !write_ready) {
      cycle.blocked = EngineCycle::kPort;
    } else if (chunk.starved || (fill_gather && !gather_.place_valid())) {
      cycle.blocked = EngineCycle::kDram;
    }
  }

  // The edge.
  bool changed =
      cycle.accepted || done_ || free || table_step || cycle.blocked == EngineCycle::kPort;
  const int64_t from =
      fill_gather ? gather_.place_from() : static_cast<int64_t>(fill_.dram) & (beat_ - 1);
  changed |= realign_.Tick(chunk, write_ready, fill_.chip, from, fill_.bytes, fill_.before,
                           fill_.data, fill_.last);
  bool list_beat = false;
  if (arrives) {
    list_beat = tags_.front();
    if (bus.last) tags_.pop_front();
    flying_--;
    if (bus.last) bursts_--;
    changed = true;
  }
  changed |= fifo_.Tick(arrives && !list_beat, chunk.pop);
  changed |= gather_.Tick(queue_, burst.next && list, list_beat, ask_next && ask_gather,
                          chunk.next && fill_gather);
  if (burst.issue) {
    flying_ += burst.beats;
    bursts_++;
    tags_.push_back(list);
    if (!list) room_ -= burst.beats;
  }
  room_ += chunk.pop;
  changed |= burst_.Tick(burst, run_dram, run_data);
  changed |= ask_.Tick(queue_, ask_next);
  changed |= fill_.Tick(queue_, chunk.next);
  changed |= queue_.Tick(cycle.accepted ? offered : nullptr, free);
  if (table_step) table_sub_ = write_ready ? 0 : table_sub_ + 1;
  done_ = free;
  cycle.changed = changed;
  return cycle;
}

Store::Store(const Params& p)
    : beat_(p.beat_bytes),
      bursts_max_(p.store_bursts),
      ahead_max_(p.store_buffer_bytes / p.beat_bytes),
      queue_(p.store_slots),
      burst_(BurstBeats(p.store_buffer_bytes, p.beat_bytes), p.beat_bytes),
      realign_(p.beat_bytes),
      bank_bytes_(p.lanes),
      waiting_(p.store_slots),
      asked_(p.store_slots) {}

EngineCycle Store::Tick(const Descriptor* offered, const Dram::Bus& bus, const Ports& ports) {
  EngineCycle cycle;
  cycle.done = done_;
  cycle.accepted = offered && queue_.ready();
  const uint32_t slots = static_cast<uint32_t>(waiting_.size());

  const BurstGen::Out burst = burst_.Look(ask_.valid, ask_.dram, ask_.data, ahead_max_ - ahead_,
                                          bursts_ != bursts_max_);
  // Reads of on-chip memory.
  const bool read_ready = read_ibuf_ ? !ports.matrix_reads_ibuf && !ports.vector_reads_ibuf
                                     : !(ports.vector_reads_vmem & ports.store_wants_vmem);
  refused_ = read_valid_ && !read_ibuf_ && !read_ready;
  const bool read_fire = read_valid_ && read_ready;
  int64_t read_beats = read_rest_;
  if (read_.valid && !read_middle_) {
    read_beats = (read_.chip % beat_ + read_.bytes + beat_ - 1) / beat_;
  }
  const bool read_issue = read_.valid && room_ != 0 && (!read_valid_ || read_ready);
  const bool read_next = read_issue && read_beats == 1;

  // Data.
  const Realign::Out chunk =
      realign_.Look(send_.valid, fifo_.count(), ahead_ != 0, bus.write_taken);
  const uint32_t oldest = queue_.head() % slots;
  const bool free = bus.response && waiting_[oldest] == 1 && asked_[oldest];

  cycle.busy = bus.write_taken || read_fire;
  if (queue_.active()) {
    if (read_valid_ && !read_ready && chunk.starved) {
      cycle.blocked = EngineCycle::kPort;
    } else if (realign_.valid() || bursts_ != 0) {
      cycle.blocked = EngineCycle::kDram;
    }
  }

  bool changed = cycle.accepted || done_ || bus.response || realign_.valid() || read_valid_ ||
                 read_issue || arrive_;
  const uint32_t ask_slot = ask_.slot % slots;
  const bool asked = burst.next && ask_.last;
  if (burst.issue) {
    ahead_ += burst.beats;
    bursts_++;
    waiting_[ask_slot]++;
  }
  if (bus.response) {
    bursts_--;
    waiting_[oldest]--;
  }
  if (free) asked_[oldest] = false;
  if (asked) asked_[ask_slot] = true;
  if (chunk.emit) ahead_--;
  changed |= realign_.Tick(chunk, bus.write_taken, static_cast<int64_t>(send_.dram & 4095),
                           send_.chip & (beat_ - 1), send_.bytes, 0, send_.bytes, send_.last);
  changed |= fifo_.Tick(arrive_, chunk.pop);
  room_ += chunk.pop - (read_issue ? 1 : 0);
  arrive_ = read_fire;
  if (read_issue) {
    read_valid_ = true;
    read_at_ = read_middle_ ? read_at_ + beat_ : read_.chip / beat_ * beat_;
    read_ibuf_ = static_cast<Buffer>(queue_.at(read_.slot).buffer) == Buffer::kIbuf;
    read_middle_ = read_beats != 1;
    read_rest_ = read_beats - 1;
  } else if (read_fire) {
    read_valid_ = false;
  }
  changed |= burst_.Tick(burst, ask_.dram, ask_.data);
  changed |= ask_.Tick(queue_, burst.next);
  changed |= read_.Tick(queue_, read_next);
  changed |= send_.Tick(queue_, chunk.next);
  changed |= queue_.Tick(cycle.accepted ? offered : nullptr, free);
  done_ = free;
  cycle.changed = changed;
  return cycle;
}

}  // namespace jacquard::perf
