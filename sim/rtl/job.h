// What the harness is asked to do: one run of one program. Read from a text file of lines
// `key value...`; `run` closes a job. Keys and units: harness.py, which writes the file.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "npu_isa.h"
#include "sim/rtl/dram.h"

namespace jacquard {

struct Checkpoint {
  uint32_t index;        // instruction after whose end the bytes are copied
  uint64_t address;      // in DRAM
  uint64_t size_bytes;
  uint64_t dump_offset;  // in the dump file
};

struct Job {
  std::string id;
  std::string image_path;      // DRAM contents, read and written in place
  uint64_t image_offset = 0;   // in the file
  uint64_t image_bytes = 0;
  uint64_t image_base = 0;     // DRAM address of the first byte
  uint64_t program = 0;        // DRAM address
  uint64_t args[8] = {};
  uint64_t max_cycles = 0;     // the run is given up after this many
  bool keep = false;           // run on the machine as the job before left it, without reset
  DramOptions dram;
  std::string dump_path;
  std::vector<Checkpoint> checkpoints;  // sorted by index
  std::string trace_path;      // records of TraceRecord, in order of completion
  double progress_hz = 0;      // 0: silent
};

struct TraceRecord {
  uint32_t engine;
  uint32_t index;
  uint64_t start_cycle;  // the instruction left its queue
  uint64_t done_cycle;   // it has finished
  uint32_t buckets[kNumBuckets];  // cycles of its engine since the one before it had finished
};
static_assert(sizeof(TraceRecord) == 24 + 4 * kNumBuckets, "harness.py reads records without gaps");

// Reads the next job; false at the end. Throws std::runtime_error with the line on a mistake.
bool ReadJob(std::istream& in, Job* job);

}  // namespace jacquard
