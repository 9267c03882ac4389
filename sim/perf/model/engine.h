// What the engines have in common.
#pragma once

#include <cstdint>

namespace jacquard::perf {

// What an engine's cycle was, for dispatch and the books.
struct EngineCycle {
  enum Blocked : uint8_t { kNone, kDram, kPort };
  bool accepted = false;  // the instruction offered was taken
  bool done = false;      // one has finished
  bool busy = false;
  Blocked blocked = kNone;
  bool changed = false;   // else the next cycle is like this one, but for what comes from outside
};

// Which ports of the memories are taken in a cycle (npu_memory): MATRIX, then VECTOR, then STORE
// read; VECTOR, then LOAD write.
struct Ports {
  bool matrix_reads_ibuf = false;
  bool vector_reads_ibuf = false;
  uint32_t vector_reads_vmem = 0;  // banks
  uint32_t store_wants_vmem = 0;   // banks
  bool store_goes_first = false;   // it was refused the cycle before
  bool vector_writes_ibuf = false;
  bool vector_writes_vmem = false;
  bool vector_reads_table = false;
};

}  // namespace jacquard::perf
