// The Verilated chip with clock, reset, registers and DRAM: runs one job from reset to done.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "npu_isa.h"
#include "sim/rtl/job.h"

namespace jacquard {

static_assert(kRegCounterCount == kNumEngines * kNumBuckets, "COUNTER: one for each bucket");

struct Result {
  bool finished = false;  // done was raised; else max_cycles passed
  uint32_t status = 0;
  uint32_t error_index = 0;
  uint64_t fingerprint = 0;
  uint64_t cycles = 0;    // the machine's own count
  uint64_t counters[kRegCounterCount] = {};
  uint64_t fetch_bytes = 0, load_bytes = 0, store_bytes = 0;  // whole bus beats
  double wall_seconds = 0;  // of the run, reset and registers left out
  double cpu_seconds = 0;   // of this process in that time: what other processes do is not in it
  std::string violation;  // of the AXI protocol, or a failed assertion; empty if none
};

// Called now and then with cycles so far and the index of the last finished instruction.
using Progress = std::function<void(uint64_t cycles, uint32_t retired)>;

class Machine;

class Simulator {
 public:
  Simulator();
  ~Simulator();

  // Runs `job`, on a machine fresh from reset unless the job keeps the last one (which is kept only
  // if its run finished); `image` are the bytes of its DRAM. Appends a record per instruction to
  // `trace` if that is not null. `checkpoint` is called when an instruction that the job names has
  // finished.
  Result Run(const Job& job, uint8_t* image, std::vector<TraceRecord>* trace,
             const std::function<void(const Checkpoint&)>& checkpoint, const Progress& progress);

 private:
  std::unique_ptr<Machine> machine_;
};

}  // namespace jacquard
