// The simulated DRAM behind the three AXI masters: latency, one bus for reads and writes
// together, and on request back-pressure from a seed. Does nothing where nothing is asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace jacquard {

// Pins of one master's read channels, by reference into the Verilated model.
struct ReadPins {
  const uint8_t& arvalid;
  uint8_t& arready;
  const uint64_t& araddr;
  const uint8_t& arlen;
  uint8_t& rvalid;
  const uint8_t& rready;
  void* rdata;
  uint8_t& rresp;
  uint8_t& rlast;
};

struct WritePins {
  const uint8_t& awvalid;
  uint8_t& awready;
  const uint64_t& awaddr;
  const uint8_t& awlen;
  const uint8_t& wvalid;
  uint8_t& wready;
  const void* wdata;
  const void* wstrb;
  const uint8_t& wlast;
  uint8_t& bvalid;
  const uint8_t& bready;
  uint8_t& bresp;
};

struct DramOptions {
  uint32_t beat_bytes = 16;       // AXI data width; one beat in all per cycle
  uint32_t latency_cycles = 100;  // from an accepted address to its first beat, from last W to B
  // Chance in percent that a ready or a response is held back in a cycle. Above 0 also: latencies
  // vary up to twice the stated one, reads see memory as it was when the address was accepted,
  // writes are not seen before their response. All that AXI allows, so a program that needs less
  // has a race.
  uint32_t stall_percent = 0;
  uint64_t seed = 1;
  bool has_error = false;  // beats that cover error_address answer SLVERR
  uint64_t error_address = 0;
};

class Dram {
 public:
  enum Master { kFetch, kLoad, kStore, kMasters };

  // `image` holds `size` bytes from DRAM address `base`; beats elsewhere answer DECERR.
  Dram(const DramOptions& options, uint8_t* image, uint64_t base, uint64_t size);

  void AttachRead(Master master, const ReadPins& pins);
  void AttachWrite(const WritePins& pins);

  // Once a cycle, between two rising edges: looks at the masters' outputs and sets their inputs for
  // the edge to come. `now` counts cycles.
  void Step(uint64_t now) {
    if (idle_) {
      bool asked = write_ != nullptr && (write_->awvalid || write_->wvalid);
      for (const Reader& reader : readers_) asked |= reader.pins.arvalid != 0;
      if (!asked) return;
    }
    Work(now);
  }

  uint64_t read_bytes(Master master) const { return bytes_[master]; }
  uint64_t written_bytes() const { return bytes_[kStore]; }
  // Breaches of the AXI protocol by a master; empty if none. The first one, with its cycle.
  const std::string& violation() const { return violation_; }

 private:
  struct Request {
    uint64_t addr;
    uint64_t due;     // cycle of the first beat
    uint32_t beats;
    uint32_t sent;
    uint32_t shot;    // place of the bytes as they were when asked for
  };
  struct Response {
    uint64_t due;
    uint32_t late_end;  // one past its last beat in late_
    uint8_t resp;
  };
  struct LateBeat {
    uint64_t addr;
    uint64_t strobe;
    uint8_t data[64];
  };
  static constexpr uint32_t kRing = 2048;  // more than any master may have outstanding

  struct Reader {
    Master master;
    ReadPins pins;
    std::vector<Request> ring;
    std::unique_ptr<uint8_t[]> shots;  // of each request, where reads see memory early
    uint32_t head = 0, tail = 0;
    uint64_t last_due = 0;
    bool holding = false;  // a beat is on the channel and was not taken
    bool refused = false;  // address valid and not taken in the last cycle
    uint64_t refused_addr = 0;
    uint8_t refused_len = 0;
  };

  void Work(uint64_t now);
  void AcceptRead(Reader& reader, uint64_t now);
  void AcceptWriteAddress(uint64_t now);
  void SendBeat(Reader& reader);
  void TakeBeat(uint64_t now);
  void Respond(uint64_t now);
  void Write(uint64_t addr, uint64_t strobe, const void* data);
  void WatchWrite(uint64_t now);
  uint64_t Delay();
  bool Stall();
  uint8_t Resp(uint64_t beat_addr) const;
  void CheckBurst(const char* channel, uint64_t addr, uint32_t beats, uint64_t now);
  void Violate(const char* what, uint64_t now);

  const DramOptions options_;
  uint8_t* const image_;
  const uint64_t base_, size_;
  std::vector<Reader> readers_;
  std::vector<WritePins> write_pins_;
  WritePins* write_ = nullptr;
  std::vector<Request> addresses_;  // AW, a ring
  uint32_t aw_head_ = 0, aw_tail_ = 0;
  std::vector<Response> responses_;  // B, a ring
  uint32_t b_head_ = 0, b_tail_ = 0;
  uint64_t b_last_due_ = 0;
  uint8_t burst_resp_ = 0;
  static constexpr uint32_t kLateBeats = 16 * kRing;
  std::unique_ptr<LateBeat[]> late_;  // a ring
  uint32_t late_head_ = 0, late_tail_ = 0;
  bool b_holding_ = false;
  bool aw_refused_ = false, w_refused_ = false;
  uint64_t aw_refused_addr_ = 0;
  uint8_t aw_refused_len_ = 0;
  uint8_t w_refused_data_[64] = {};
  uint64_t w_refused_strobe_ = 0;
  uint32_t turn_ = 0;  // master that is asked first
  bool idle_ = true;
  uint64_t random_;
  uint64_t bytes_[kMasters] = {};
  std::string violation_;
};

}  // namespace jacquard
