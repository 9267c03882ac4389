// The whole machine, from start to done (npu_top, npu_run, npu_account).
#pragma once

#include <cstdint>
#include <optional>

#include "npu_isa.h"
#include "sim/perf/model/dram.h"
#include "sim/perf/model/frontend.h"
#include "sim/perf/model/matrix.h"
#include "sim/perf/model/params.h"
#include "sim/perf/model/program.h"
#include "sim/perf/model/transfer.h"
#include "sim/perf/model/vector.h"

namespace jacquard::perf {

struct Outcome {
  uint32_t status;       // Error
  uint32_t error_index;
  int64_t cycles;
  int64_t counters[kEngines][kNumBuckets];
  int64_t beats[Dram::kMasters];
};

// Where a run's times go; null: not wanted. Of each instruction, by index.
struct Times {
  int64_t* start;
  int64_t* done;
  int64_t* buckets;  // [instruction][bucket]: of its engine, since the one before it had finished
};

class Machine {
 public:
  Machine(const Params& params, const Program& program, uint64_t address, const uint64_t* args,
          const Memory& memory);
  Outcome Run(const Times& times);

 private:
  void Step(const Times& times);
  EngineCycle StepVector(bool offered, Ports& ports);
  void Account(bool bus_moves);
  void Decode(uint32_t engine, uint32_t index);
  uint32_t Oldest() const;

  Params params_;
  const Program& program_;
  const uint64_t* args_;
  Dram dram_;
  Fetch fetch_;
  Dispatch dispatch_;
  Load load_;
  Matrix matrix_;
  Vector vector_;
  Store store_;

  Cycle now_ = 0;
  bool changed_ = false;         // something did in this cycle
  bool asleep_[kEngines] = {};   // the last Tick changed nothing
  EngineCycle cycles_[kEngines];
  uint32_t bucket_[kEngines] = {};
  // The instruction offered to each engine, decoded.
  int64_t decoded_[kEngines];
  Descriptor load_desc_, store_desc_;
  std::optional<MatrixFields> matrix_fields_;
  std::optional<VectorFields> vector_fields_;

  Cycle last_retire_ = -1;
  Outcome outcome_ = {};
  int64_t accounted_[kEngines][kNumBuckets] = {};  // when the engine's last instruction finished
};

}  // namespace jacquard::perf
