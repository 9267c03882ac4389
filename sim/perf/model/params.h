// The numbers that a machine's timing depends on; sim/perf/machine.py fills them in this order.
#pragma once

#include <cstdint>

namespace jacquard::perf {

using Cycle = int64_t;
inline constexpr Cycle kNever = INT64_MAX;

struct Params {
  int64_t rows;
  int64_t lanes;
  int64_t obuf_row_bytes;
  int64_t obuf_half_rows;
  int64_t beat_bytes;
  int64_t latency;
  int64_t queue_depth;
  int64_t max_tokens;
  int64_t fetch_buffer_bytes;
  int64_t watchdog_cycles;
  int64_t load_slots;
  int64_t load_bursts;
  int64_t load_buffer_bytes;
  int64_t store_slots;
  int64_t store_bursts;
  int64_t store_buffer_bytes;
  int64_t vector_rate;  // steps of VECTOR's pipe a cycle; the hardware's is 1
};

// What lies in DRAM when a run starts; nothing: not known.
struct Memory {
  const uint8_t* bytes = nullptr;
  uint64_t size = 0;
};

}  // namespace jacquard::perf
