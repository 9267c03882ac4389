#include "sim/perf/model/machine.h"

#include <algorithm>

namespace jacquard::perf {

namespace {

constexpr uint32_t kLoad = static_cast<uint32_t>(Engine::kLoad);
constexpr uint32_t kMatrix = static_cast<uint32_t>(Engine::kMatrix);
constexpr uint32_t kVector = static_cast<uint32_t>(Engine::kVector);
constexpr uint32_t kStore = static_cast<uint32_t>(Engine::kStore);

Descriptor Describe(const LoadFields& f, const uint64_t* args) {
  return {
      .buffer = f.buffer,
      .n0 = f.n0, .n1 = f.n1, .n2 = f.n2, .n3 = f.n3,
      .before0 = f.before0, .after0 = f.after0, .before1 = f.before1, .after1 = f.after1,
      .chip = f.dst, .chip1 = f.d1, .chip2 = f.d2, .chip3 = f.d3,
      .dram = args[f.arg] + f.dram, .dram1 = f.s1, .dram2 = f.s2, .dram3 = f.s3,
      .gather = f.gather != 0, .list = args[f.index_arg] + f.index_dram,
  };
}

Descriptor Describe(const StoreFields& f, const uint64_t* args) {
  return {
      .buffer = f.buffer,
      .n0 = f.n0, .n1 = f.n1, .n2 = f.n2, .n3 = f.n3,
      .chip = f.src, .chip1 = f.l1, .chip2 = f.l2, .chip3 = f.l3,
      .dram = args[f.arg] + f.dram, .dram1 = f.s1, .dram2 = f.s2, .dram3 = f.s3,
  };
}

}  // namespace

Machine::Machine(const Params& params, const Program& program, uint64_t address,
                 const uint64_t* args, const Memory& memory)
    : params_(params),
      program_(program),
      args_(args),
      dram_(params.latency),
      fetch_(params, program, address),
      dispatch_(params, program),
      load_(params, memory),
      matrix_(params),
      vector_(params),
      store_(params) {
  std::fill(std::begin(decoded_), std::end(decoded_), -1);
  std::fill(std::begin(asleep_), std::end(asleep_), true);
}

// Makes the fields of the instruction that is offered to an engine.
void Machine::Decode(uint32_t engine, uint32_t index) {
  if (decoded_[engine] == index) return;
  decoded_[engine] = index;
  const Program::Words words = program_.words(index);
  if (engine == kLoad) load_desc_ = Describe(LoadFields(words.bytes), args_);
  if (engine == kStore) store_desc_ = Describe(StoreFields(words.bytes), args_);
  if (engine == kMatrix) matrix_fields_.emplace(words.bytes);
  if (engine == kVector) vector_fields_.emplace(words.bytes);
}

void Machine::Step(const Times& times) {
  fetch_.Ask(dram_, now_);
  load_.Ask(dram_, now_);
  store_.Ask(dram_);
  const Dram::Bus bus = dram_.Step(now_, store_.shows_data());

  bool offered[kEngines];
  for (uint32_t e = 0; e < kEngines; e++) {
    const int64_t index = dispatch_.Offered(e);
    offered[e] = index >= 0;
    if (offered[e]) Decode(e, static_cast<uint32_t>(index));
    cycles_[e].accepted = cycles_[e].done = false;  // where it sleeps the rest stays as it was
  }
  changed_ = bus.moves || bus.response;

  Ports ports;
  ports.matrix_reads_ibuf = matrix_.ReadsIbuf(now_);
  store_.AskVmem(ports);
  const bool matrix_busy = matrix_.Busy(now_);
  if (now_ >= matrix_.next() || (offered[kMatrix] && matrix_.idle())) {
    cycles_[kMatrix] = matrix_.Tick(now_, offered[kMatrix] ? &*matrix_fields_ : nullptr);
    changed_ |= cycles_[kMatrix].changed;
  }
  cycles_[kMatrix].busy = matrix_busy;
  if (offered[kVector] || !asleep_[kVector]) {
    cycles_[kVector] = StepVector(offered[kVector], ports);
    asleep_[kVector] = !cycles_[kVector].changed;
  }
  if (!asleep_[kStore] || (offered[kStore] && store_.ready()) || bus.response ||
      bus.write_taken) {
    cycles_[kStore] = store_.Tick(offered[kStore] ? &store_desc_ : nullptr, bus, ports);
    asleep_[kStore] = !cycles_[kStore].changed;
  }
  if (!asleep_[kLoad] || (offered[kLoad] && load_.ready()) || bus.read[Dram::kLoad]) {
    cycles_[kLoad] = load_.Tick(offered[kLoad] ? &load_desc_ : nullptr, bus, ports);
    asleep_[kLoad] = !cycles_[kLoad].changed;
  }
  changed_ |= !asleep_[kVector] || !asleep_[kStore] || !asleep_[kLoad];

  int64_t fetched = -1;
  if (fetch_.valid() && !dispatch_.full(EngineOf(program_.header(fetch_.index()).opcode))) {
    fetched = fetch_.index();
  }
  changed_ |= fetch_.Tick(bus.read[Dram::kFetch], fetched >= 0);

  Account(bus.moves);
  const bool accepted[kEngines] = {cycles_[0].accepted, cycles_[1].accepted, cycles_[2].accepted,
                                   cycles_[3].accepted};
  const bool done[kEngines] = {cycles_[0].done, cycles_[1].done, cycles_[2].done, cycles_[3].done};
  for (uint32_t e = 0; e < kEngines; e++) {
    if (accepted[e] && times.start) times.start[dispatch_.Offered(e)] = now_;
  }
  int64_t retired[kEngines];
  changed_ |= dispatch_.Tick(fetched, accepted, done, retired);
  for (uint32_t e = 0; e < kEngines; e++) {
    if (retired[e] < 0) continue;
    last_retire_ = now_;
    if (times.done) times.done[retired[e]] = now_;
    if (!times.buckets) continue;
    for (uint32_t b = 0; b < kNumBuckets; b++) {
      const int64_t before = outcome_.counters[e][b] - (b == bucket_[e]);  // this cycle
      times.buckets[retired[e] * kNumBuckets + b] = before - accounted_[e][b];
      accounted_[e][b] = before;
    }
  }
}

// A pipe faster than the hardware's moves several times, up to what dispatch must see.
EngineCycle Machine::StepVector(bool offered, Ports& ports) {
  const VectorFields* fields = offered ? &*vector_fields_ : nullptr;
  EngineCycle cycle = vector_.Tick(now_, fields, matrix_, ports);
  for (int64_t k = 1; k < params_.vector_rate && !cycle.accepted && !cycle.done; k++) {
    const EngineCycle more = vector_.Tick(now_, fields, matrix_, ports);
    cycle.accepted = more.accepted;
    cycle.done = more.done;
    cycle.busy |= more.busy;
    cycle.changed |= more.changed;
  }
  return cycle;
}

// The bucket of each engine in this cycle (npu_account).
void Machine::Account(bool bus_moves) {
  for (uint32_t e = 0; e < kEngines; e++) {
    const EngineCycle& cycle = cycles_[e];
    const uint32_t missing = dispatch_.missing(e);
    Bucket bucket;
    if (cycle.busy) bucket = Bucket::kBusy;
    else if (cycle.blocked == EngineCycle::kDram && bus_moves) bucket = Bucket::kDramBandwidth;
    else if (cycle.blocked == EngineCycle::kDram) bucket = Bucket::kDramLatency;
    else if (cycle.blocked == EngineCycle::kPort) bucket = Bucket::kPort;
    else if (dispatch_.flying(e)) bucket = Bucket::kDrain;
    else if (!dispatch_.waiting(e)) bucket = Bucket::kEmpty;
    else if (missing >> kLoad & 1) bucket = Bucket::kWaitLoad;
    else if (missing >> kMatrix & 1) bucket = Bucket::kWaitMatrix;
    else if (missing >> kVector & 1) bucket = Bucket::kWaitVector;
    else if (missing >> kStore & 1) bucket = Bucket::kWaitStore;
    else bucket = Bucket::kDrain;
    bucket_[e] = static_cast<uint32_t>(bucket);
    outcome_.counters[e][bucket_[e]]++;
  }
}

Outcome Machine::Run(const Times& times) {
  for (;;) {
    const bool over = fetch_.end() && !fetch_.valid() && dispatch_.empty() && fetch_.quiet() &&
                      load_.quiet() && store_.quiet();
    Step(times);
    now_++;
    if (over) break;
    // The watchdog bites when it has counted this far; what runs then ends a cycle later.
    const Cycle bite = last_retire_ + 1 + params_.watchdog_cycles;
    if (now_ >= bite + 2) {
      outcome_.status = static_cast<uint32_t>(Error::kWatchdog);
      outcome_.error_index = Oldest();
      break;
    }
    if (changed_) continue;
    // Nothing moves before one of these.
    const Cycle next = std::min({dram_.NextDue(), matrix_.next(), bite + 1});
    if (next <= now_) continue;
    for (uint32_t e = 0; e < kEngines; e++) outcome_.counters[e][bucket_[e]] += next - now_;
    now_ = next;
  }
  if (outcome_.status == 0 && !program_.whole()) {
    outcome_.status = static_cast<uint32_t>(Error::kIllegal);
    outcome_.error_index = program_.size();
  }
  outcome_.cycles = now_;
  for (int m = 0; m < Dram::kMasters; m++) {
    outcome_.beats[m] = dram_.beats(static_cast<Dram::Master>(m));
  }
  return outcome_;
}

// The first instruction that has not finished.
uint32_t Machine::Oldest() const {
  uint32_t index = fetch_.index();
  for (uint32_t e = 0; e < kEngines; e++) {
    if (dispatch_.flying(e) || dispatch_.waiting(e)) index = std::min(index, dispatch_.oldest(e));
  }
  return index;
}

}  // namespace jacquard::perf
