// What sim/perf/machine.py calls: programs are opened once and run as often as one likes.

#include "sim/perf/model/machine.h"

using jacquard::perf::Machine;
using jacquard::perf::Outcome;
using jacquard::perf::Params;
using jacquard::perf::Program;

extern "C" {

void* perf_open(const uint8_t* code, uint64_t size) {
  return new Program(code, static_cast<size_t>(size));
}

void perf_close(void* program) { delete static_cast<Program*>(program); }

uint32_t perf_size(const void* program) { return static_cast<const Program*>(program)->size(); }

// args: eight. memory: DRAM from address 0, or null. start, done, buckets: per instruction or null.
// result: status, error index, cycles, beats of fetch, LOAD and STORE, then
// counters[engine][bucket].
void perf_run(const void* program, const Params* params, uint64_t address, const uint64_t* args,
              const uint8_t* memory, uint64_t memory_bytes, int64_t* start, int64_t* done,
              int64_t* buckets, int64_t* result) {
  Machine machine(*params, *static_cast<const Program*>(program), address, args,
                  {memory, memory_bytes});
  const Outcome outcome = machine.Run({start, done, buckets});
  *result++ = outcome.status;
  *result++ = outcome.error_index;
  *result++ = outcome.cycles;
  for (const int64_t beats : outcome.beats) *result++ = beats;
  for (const auto& engine : outcome.counters) {
    for (const int64_t count : engine) *result++ = count;
  }
}

}  // extern "C"
