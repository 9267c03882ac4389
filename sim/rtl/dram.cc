#include "sim/rtl/dram.h"

#include <algorithm>
#include <cstring>

namespace jacquard {

namespace {
constexpr uint32_t kMaxBurstBytes = 4096;
}

Dram::Dram(const DramOptions& options, uint8_t* image, uint64_t base, uint64_t size)
    : options_(options), image_(image), base_(base), size_(size),
      random_(options.seed * 0x9e3779b97f4a7c15ull | 1) {
  addresses_.resize(kRing);
  responses_.resize(kRing);
  // Left as they are: only the pages that are used cost anything.
  if (options_.stall_percent) late_.reset(new LateBeat[kLateBeats]);
  readers_.reserve(2);
  write_pins_.reserve(1);
}

void Dram::AttachRead(Master master, const ReadPins& pins) {
  readers_.push_back(Reader{master, pins, std::vector<Request>(kRing), {}});
  if (options_.stall_percent) {
    readers_.back().shots.reset(new uint8_t[size_t{kRing} * kMaxBurstBytes]);
  }
  pins.arready = options_.stall_percent == 0;
  pins.rvalid = 0;
}

void Dram::AttachWrite(const WritePins& pins) {
  write_pins_.push_back(pins);
  write_ = &write_pins_.back();
  pins.awready = options_.stall_percent == 0;
  pins.wready = 0;
  pins.bvalid = 0;
}

uint64_t Dram::Delay() {
  uint64_t delay = options_.latency_cycles;
  if (options_.stall_percent) {
    Stall();
    delay += (random_ >> 33) % (options_.latency_cycles + 1);
  }
  return delay;
}

bool Dram::Stall() {
  if (!options_.stall_percent) return false;
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return (random_ >> 32) % 100 < options_.stall_percent;
}

uint8_t Dram::Resp(uint64_t addr) const {
  constexpr uint8_t kOkay = 0, kSlvErr = 2, kDecErr = 3;
  if (addr < base_ || addr - base_ >= size_ || size_ - (addr - base_) < options_.beat_bytes) {
    return kDecErr;
  }
  if (options_.has_error && options_.error_address - addr < options_.beat_bytes) return kSlvErr;
  return kOkay;
}

void Dram::Violate(const char* what, uint64_t now) {
  if (violation_.empty()) violation_ = "cycle " + std::to_string(now) + ": " + what;
}

void Dram::CheckBurst(const char* channel, uint64_t addr, uint32_t beats, uint64_t now) {
  const uint64_t bytes = uint64_t{beats} * options_.beat_bytes;
  if (addr % options_.beat_bytes || (addr & 4095) + bytes > 4096) Violate(channel, now);
}

void Dram::AcceptRead(Reader& reader, uint64_t now) {
  const ReadPins& pins = reader.pins;
  if (reader.refused && (!pins.arvalid || pins.araddr != reader.refused_addr ||
                         pins.arlen != reader.refused_len)) {
    Violate("AR changed before it was taken", now);
  }
  reader.refused = false;
  pins.arready = reader.tail - reader.head < kRing && !Stall();
  if (!pins.arvalid) return;
  if (!pins.arready) {
    reader.refused = true;
    reader.refused_addr = pins.araddr;
    reader.refused_len = pins.arlen;
    return;
  }
  Request& request = reader.ring[reader.tail % kRing];
  request.addr = pins.araddr;
  request.beats = pins.arlen + 1u;
  request.sent = 0;
  request.shot = reader.tail % kRing;
  reader.last_due = request.due = std::max(reader.last_due, now + Delay());
  CheckBurst("AR burst unaligned or across 4 KiB", request.addr, request.beats, now);
  if (options_.stall_percent) {
    for (uint32_t i = 0; i < request.beats; i++) {
      const uint64_t addr = request.addr + uint64_t{i} * options_.beat_bytes;
      if (Resp(addr) == 3) continue;
      std::memcpy(&reader.shots[size_t{request.shot} * kMaxBurstBytes + i * options_.beat_bytes],
                  image_ + (addr - base_), options_.beat_bytes);
    }
  }
  reader.tail++;
}

void Dram::AcceptWriteAddress(uint64_t now) {
  const WritePins& pins = *write_;
  if (aw_refused_ && (!pins.awvalid || pins.awaddr != aw_refused_addr_ ||
                      pins.awlen != aw_refused_len_)) {
    Violate("AW changed before it was taken", now);
  }
  aw_refused_ = false;
  pins.awready = aw_tail_ - aw_head_ < kRing && b_tail_ - b_head_ < kRing - 1 && !Stall();
  if (!pins.awvalid) return;
  if (!pins.awready) {
    aw_refused_ = true;
    aw_refused_addr_ = pins.awaddr;
    aw_refused_len_ = pins.awlen;
    return;
  }
  Request& request = addresses_[aw_tail_++ % kRing];
  request.addr = pins.awaddr;
  request.beats = pins.awlen + 1u;
  request.sent = 0;
  CheckBurst("AW burst unaligned or across 4 KiB", request.addr, request.beats, now);
}

void Dram::SendBeat(Reader& reader) {
  Request& request = reader.ring[reader.head % kRing];
  const uint64_t addr = request.addr + uint64_t{request.sent} * options_.beat_bytes;
  const uint8_t resp = Resp(addr);
  if (resp == 0) {
    const uint8_t* source = options_.stall_percent
        ? &reader.shots[size_t{request.shot} * kMaxBurstBytes + request.sent * options_.beat_bytes]
        : image_ + (addr - base_);
    std::memcpy(reader.pins.rdata, source, options_.beat_bytes);
  } else {
    std::memset(reader.pins.rdata, 0xee, options_.beat_bytes);
  }
  bytes_[reader.master] += options_.beat_bytes;
  request.sent++;
  reader.pins.rvalid = 1;
  reader.pins.rresp = resp;
  reader.pins.rlast = request.sent == request.beats;
  if (reader.pins.rlast) reader.head++;
}

void Dram::Write(uint64_t addr, uint64_t strobe, const void* data) {
  const uint8_t* source = static_cast<const uint8_t*>(data);
  uint8_t* target = image_ + (addr - base_);
  const uint64_t all = options_.beat_bytes == 64 ? ~0ull : (1ull << options_.beat_bytes) - 1;
  if (strobe == all) {
    std::memcpy(target, source, options_.beat_bytes);
    return;
  }
  for (uint32_t i = 0; i < options_.beat_bytes; i++) {
    if (strobe >> i & 1) target[i] = source[i];
  }
}

void Dram::TakeBeat(uint64_t now) {
  Request& request = addresses_[aw_head_ % kRing];
  const uint64_t addr = request.addr + uint64_t{request.sent} * options_.beat_bytes;
  const uint8_t resp = Resp(addr);
  if (resp) burst_resp_ = resp;
  uint64_t strobe = 0;
  std::memcpy(&strobe, write_->wstrb, (options_.beat_bytes + 7) / 8);
  if (options_.stall_percent) {
    LateBeat& beat = late_[late_tail_++ % kLateBeats];
    beat.addr = addr;
    beat.strobe = resp ? 0 : strobe;
    std::memcpy(beat.data, write_->wdata, options_.beat_bytes);
  } else if (!resp) {
    Write(addr, strobe, write_->wdata);
  }
  bytes_[kStore] += options_.beat_bytes;
  write_->wready = 1;
  request.sent++;
  const bool last = request.sent == request.beats;
  if (last != (write_->wlast != 0)) Violate("WLAST not on the last beat of its burst", now);
  if (!last) return;
  aw_head_++;
  Response& response = responses_[b_tail_++ % kRing];
  b_last_due_ = response.due = std::max(b_last_due_, now + Delay());
  response.resp = burst_resp_;
  response.late_end = late_tail_;
  burst_resp_ = 0;
}

void Dram::Respond(uint64_t now) {
  if (b_holding_) {
    b_holding_ = !write_->bready;
    return;
  }
  write_->bvalid = 0;
  if (b_head_ == b_tail_ || responses_[b_head_ % kRing].due > now || Stall()) return;
  const Response& response = responses_[b_head_++ % kRing];
  for (; late_head_ != response.late_end; late_head_++) {
    const LateBeat& beat = late_[late_head_ % kLateBeats];
    if (beat.strobe) Write(beat.addr, beat.strobe, beat.data);
  }
  write_->bvalid = 1;
  write_->bresp = response.resp;
  b_holding_ = !write_->bready;
}

void Dram::WatchWrite(uint64_t now) {
  uint64_t strobe = 0;
  std::memcpy(&strobe, write_->wstrb, (options_.beat_bytes + 7) / 8);
  if (w_refused_ && (!write_->wvalid || strobe != w_refused_strobe_ ||
                     std::memcmp(w_refused_data_, write_->wdata, options_.beat_bytes) != 0)) {
    Violate("W changed before it was taken", now);
  }
  w_refused_ = write_->wvalid != 0;  // taken back in Work, if it is taken
  w_refused_strobe_ = strobe;
  std::memcpy(w_refused_data_, write_->wdata, options_.beat_bytes);
}

void Dram::Work(uint64_t now) {
  uint32_t wanting = 0;  // masters that have a beat for the bus
  bool pending = false;
  for (Reader& reader : readers_) {
    AcceptRead(reader, now);
    if (reader.holding) {
      reader.holding = !reader.pins.rready;
      pending = true;
      continue;
    }
    reader.pins.rvalid = 0;
    if (reader.head == reader.tail) continue;
    pending = true;
    if (reader.ring[reader.head % kRing].due <= now && !Stall()) wanting |= 1u << reader.master;
  }
  if (write_) {
    AcceptWriteAddress(now);
    Respond(now);
    write_->wready = 0;
    if (options_.stall_percent) WatchWrite(now);
    pending |= aw_head_ != aw_tail_ || b_head_ != b_tail_ || write_->wvalid || write_->bvalid;
    if (write_->wvalid && aw_head_ != aw_tail_ && !Stall()) wanting |= 1u << kStore;
  }
  idle_ = !pending;
  if (!wanting) return;
  while (!(wanting >> turn_ & 1)) turn_ = turn_ + 1 < kMasters ? turn_ + 1 : 0;
  const uint32_t master = turn_;
  turn_ = turn_ + 1 < kMasters ? turn_ + 1 : 0;
  if (master == kStore) {
    TakeBeat(now);
    w_refused_ = false;
    return;
  }
  for (Reader& reader : readers_) {
    if (reader.master != master) continue;
    SendBeat(reader);
    reader.holding = !reader.pins.rready;
  }
  idle_ = false;  // the valid just raised is to be lowered
}

}  // namespace jacquard
