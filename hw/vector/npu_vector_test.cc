// Random vector instructions, RTL against vector_model, bit for bit.
//
//   npu_vector_test [--programs N] [--seed S]   random programs, then the directed cases
//   npu_vector_test --speed                     kHz of the bare engine, busy and idle
//
// The memories behave as hw/README.md says: data one cycle after the request and garbage in every
// other cycle, reads before writes, requests refused at random.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <random>

#include "Vnpu_vector.h"
#include "vector_model.h"
#include "verilated.h"

namespace jacquard {
namespace {

constexpr int kL = kLanes;
using Rng = std::mt19937_64;

struct Failure {
  std::string text;
};

// The engine on its pins, with memories behind them.
class Bench {
 public:
  explicit Bench(uint64_t seed) : rng_(seed), top_(new Vnpu_vector(&context_)) {
    top_->rst_ni = 0;
    top_->clear_i = 0;
    top_->halt_i = 0;
    top_->instr_valid_i = 0;
    for (int i = 0; i < 3; ++i) cycle();
    top_->rst_ni = 1;
    cycle();
  }
  ~Bench() { top_->final(); }

  // Chances in percent that a memory refuses, and that no instruction is offered.
  int refuse_read = 0, refuse_write = 0, pause = 0;
  Memories memory;
  uint64_t cycles = 0, busy = 0, port = 0, instructions_done = 0;
  uint64_t last_done = 0;  // cycle of the last done
  Vnpu_vector& pins() { return *top_; }
  bool error() const { return top_->error_valid_o; }

  // One clock cycle. True if the instruction offered was taken.
  bool cycle() {
    top_->vec_rd_ready_i = !chance(refuse_read);
    top_->vec_wr_ready_i = !chance(refuse_write);
    top_->clk_i = 0;
    top_->eval();
    const bool taken = top_->instr_valid_i && top_->instr_ready_o && top_->rst_ni;
    const bool read = top_->vec_rd_valid_o && top_->vec_rd_ready_i && top_->rst_ni;
    const bool write = top_->vec_wr_valid_o && top_->vec_wr_ready_i && top_->rst_ni;
    const bool params = top_->vec_param_valid_o && top_->rst_ni;
    std::array<std::array<int32_t, kL>, 2> data;
    std::array<int32_t, kL> bias, mult;
    // Poison: whoever looks at a cycle in which nothing was asked gets garbage.
    for (int l = 0; l < kL; ++l) {
      const uint64_t r = poison_ += 0x9e3779b97f4a7c15ull;
      data[0][l] = r >> 7, data[1][l] = r >> 19, bias[l] = r >> 23, mult[l] = r >> 30;
    }
    for (int k = 0; k < 2; ++k) {
      if (!read || !(top_->vec_rd_valid_o >> k & 1)) continue;
      const uint32_t buffer = top_->vec_rd_buffer_o[k], dtype = top_->vec_rd_dtype_o[k];
      expect_good("read", buffer, top_->vec_rd_addr_o[k], dtype, false);
      for (int l = 0; l < kL; ++l)
        data[k][l] =
            memory.load(buffer, top_->vec_rd_addr_o[k] + l * element_bytes(dtype), dtype);
    }
    if (read && top_->vec_rd_valid_o == 3 && top_->vec_rd_buffer_o[0] == top_->vec_rd_buffer_o[1])
      throw Failure{"two reads of one memory in one cycle"};
    if (params) {
      const uint32_t row = top_->vec_param_row_o;
      if (row >= kParamRows) throw Failure{"param row out of range"};
      for (int l = 0; l < kL; ++l) {
        bias[l] = memory.load(5, row * kParamRowBytes + 4 * l, 4);
        mult[l] = memory.load(5, row * kParamRowBytes + 4 * (kL + l), 4);
      }
    }
    if (write && top_->vec_wr_valid_o == 3 && top_->vec_wr_buffer_o[0] == top_->vec_wr_buffer_o[1])
      throw Failure{"two writes of one memory in one cycle"};
    for (int k = 0; k < 2; ++k) {
      if (!write || !(top_->vec_wr_valid_o >> k & 1)) continue;
      const uint32_t buffer = top_->vec_wr_buffer_o[k], dtype = top_->vec_wr_dtype_o[k];
      expect_good("write", buffer, top_->vec_wr_addr_o[k], dtype, true);
      for (int l = 0; l < kL; ++l)
        if (top_->vec_wr_mask_o >> l & 1)
          memory.store(buffer, top_->vec_wr_addr_o[k] + l * element_bytes(dtype), dtype,
                       top_->vec_wr_data_o[k][l]);
    }
    if (top_->rst_ni) {
      busy += top_->busy_o;
      port += !top_->busy_o && top_->blocked_o == 2;
    }
    top_->clk_i = 1;
    top_->eval();
    for (int l = 0; l < kL; ++l) {
      top_->vec_rd_data_i[0][l] = data[0][l];
      top_->vec_rd_data_i[1][l] = data[1][l];
      top_->vec_param_bias_i[l] = bias[l];
      top_->vec_param_mult_i[l] = mult[l];
    }
    ++cycles;
    if (top_->done_o && top_->rst_ni) {
      ++instructions_done;
      last_done = cycles;
    }
    return taken;
  }

  // Offers the instructions one after the other; returns when all are done or an error is up.
  void run(const std::vector<VectorInstr>& program, uint32_t first_index) {
    const uint64_t goal = instructions_done + program.size();
    size_t next = 0;
    uint64_t quiet = 0;
    while (instructions_done < goal && !error()) {
      const bool offered = top_->instr_valid_i;
      if (!offered && next < program.size() && !chance(pause)) {
        const auto words = program[next].encode();
        for (int w = 0; w < 28; ++w) top_->instr_i[w] = words[w];
        top_->instr_index_i = first_index + next;
        top_->instr_valid_i = 1;
      }
      const uint64_t before = instructions_done;
      if (cycle()) {
        ++next;
        top_->instr_valid_i = 0;
      }
      quiet = before == instructions_done ? quiet + 1 : 0;
      if (quiet > 1'000'000) throw Failure{"the engine hangs"};
    }
    if (error()) {
      top_->instr_valid_i = 0;
      top_->halt_i = 1;
      for (int i = 0; i < 200; ++i) cycle();
      if (!error()) throw Failure{"the error did not stay"};
    }
    for (int i = 0; i < 3; ++i) cycle();
  }

  void clear() {
    top_->instr_valid_i = 0;
    top_->halt_i = 0;
    top_->clear_i = 1;
    cycle();
    top_->clear_i = 0;
    cycle();
    if (error()) throw Failure{"clear_i left the error standing"};
  }

 private:
  bool chance(int percent) { return percent && static_cast<int>(rng_() % 100) < percent; }

  static void expect_good(const char* what, uint32_t buffer, uint32_t address, uint32_t dtype,
                          bool write) {
    const uint32_t size = kL * element_bytes(dtype);
    const uint32_t capacity = buffer == 1   ? kIbufBytes
                              : buffer == 3 ? kObufBytes
                              : buffer == 4 ? kVmemBytes
                                            : 0;
    if (dtype > 4 || !reachable(buffer, dtype, write) || address % size ||
        address + size > capacity)
      throw Failure{std::string("bad ") + what + ": buffer " + std::to_string(buffer) +
                    " address " + std::to_string(address) + " dtype " + std::to_string(dtype)};
  }

  Rng rng_;
  uint64_t poison_ = 1;
  VerilatedContext context_;
  std::unique_ptr<Vnpu_vector> top_;
};

// ---------------------------------------------------------------------------------------------
// Random instructions

class Generator {
 public:
  explicit Generator(uint64_t seed) : rng_(seed) {}

  void fill(Memories& m) {
    for (auto& memory : m.bytes)
      for (auto& byte : memory) byte = rng_();
    // Small numbers beside large ones: rounding and saturation both need cases near their edges.
    for (uint32_t at = 0; at + 4 <= kObufBytes; at += 4)
      if (one_in(2)) m.store(3, at, 4, small());
    for (uint32_t at = 0; at + 4 <= kParamBytes; at += 4)
      if (one_in(2)) m.store(5, at, 4, small());
  }

  // An instruction that the checker would let pass. One in `short_in` is short.
  VectorInstr good() {
    for (;;) {
      VectorInstr v = attempt();
      if (check(v) == Error::kOk && obeys(v)) return remember(v);
    }
  }

  // An instruction with something wrong (or, rarely, still right).
  VectorInstr bad() {
    for (;;) {
      VectorInstr v = good();
      for (int i = 1 + below(2); i > 0; --i) spoil(v);
      if (v.iterations() > 20000) continue;
      if (check(v) != Error::kOk || obeys(v)) return v;
    }
  }

  bool one_in(uint64_t n) { return rng_() % n == 0; }
  int64_t below(int64_t n) { return static_cast<int64_t>(rng_() % n); }

 private:
  int32_t small() { return static_cast<int32_t>(below(4001)) - 2000; }
  int32_t any32() {
    static const int32_t special[] = {0, 1, -1, 2147483647, -2147483647 - 1, 2, 255, -128};
    if (one_in(4)) return special[below(8)];
    return one_in(2) ? small() : static_cast<int32_t>(rng_());
  }
  static uint32_t capacity(uint32_t buffer) {
    return buffer == 1 ? kIbufBytes : buffer == 3 ? kObufBytes : kVmemBytes;
  }
  uint32_t dtype_for(uint32_t buffer) {
    return buffer == 1 ? below(2) : buffer == 3 ? 4 : below(5);
  }

  // Sets the base so that every address lies inside; strides that reach too far become 0.
  void fit(Iterator& it, const std::array<uint32_t, 4>& n, uint32_t first_loop) {
    const int64_t size = kL * element_bytes(it.dtype);
    int64_t lowest = 0, highest = 0;
    for (uint32_t j = first_loop; j < 4; ++j) {
      const int64_t reach = int64_t{n[j] - 1} * it.stride[j];
      if (highest - lowest + std::abs(reach) + size > capacity(it.buffer)) {
        it.stride[j] = 0;
        continue;
      }
      (reach < 0 ? lowest : highest) += reach;
    }
    const int64_t room = (capacity(it.buffer) - (highest - lowest) - size) / size;
    int64_t start = below(room + 1);
    if (one_in(8)) start = room;                            // up to the last byte
    if (one_in(2)) start = std::min<int64_t>(start, below(24));  // crowded: hazards
    it.base = static_cast<uint32_t>(start * size - lowest);
  }

  Iterator source(const VectorInstr& v) {
    Iterator it;
    if (recent_.buffer && one_in(2)) {  // what an instruction shortly before has written
      it = recent_;
      if (one_in(2)) return it;
      for (auto& s : it.stride)
        if (one_in(2)) s = static_cast<int32_t>(below(3) - 1) * kL * element_bytes(it.dtype);
      return it;
    }
    static const uint32_t buffers[] = {1, 3, 4, 4};
    it.buffer = buffers[below(4)];
    it.dtype = dtype_for(it.buffer);
    const int32_t size = kL * element_bytes(it.dtype);
    for (auto& s : it.stride) s = static_cast<int32_t>(below(13) - 4) * size;
    fit(it, v.n, 0);
    return it;
  }

  Iterator destination(const VectorInstr& v) {
    Iterator it;
    it.buffer = one_in(2) ? 1 : 4;
    it.dtype = dtype_for(it.buffer);
    // Dense in a random order of the loops, sometimes with gaps, sometimes backwards.
    std::array<uint32_t, 4> order{0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), rng_);
    int64_t step = kL * element_bytes(it.dtype);
    for (uint32_t j : order) {
      if (j < v.reduce_loops) {
        it.stride[j] = static_cast<int32_t>(rng_()) >> 8;  // not looked at
        continue;
      }
      it.stride[j] = static_cast<int32_t>(one_in(4) ? -step : step);
      step *= v.n[j];
      if (one_in(4)) step += kL * element_bytes(it.dtype);
      if (v.n[j] == 1 && one_in(4)) it.stride[j] = static_cast<int32_t>(rng_()) >> 8;
      if (step > kVmemBytes) step = kL * element_bytes(it.dtype);
    }
    std::array<uint32_t, 4> n = v.n;
    Iterator fitted = it;
    for (uint32_t j = 0; j < 4; ++j)
      if (n[j] == 1) fitted.stride[j] = 0;
    fit(fitted, n, v.reduce_loops);
    it.base = fitted.base;
    return it;
  }

  VectorInstr attempt() {
    VectorInstr v;
    v.op = below(24);
    const bool special = v.op >= 20;
    for (auto& count : v.n) count = 1 + below(one_in(3) ? 6 : 3);
    if (one_in(10)) v.n[below(4)] = 1 + below(150);
    if (one_in(6)) v.n = {1, 1, 1, static_cast<uint32_t>(1 + below(2))};
    if (v.op == 23) v.n[0] = kL;
    v.scale = v.op == 23 ? 0 : v.op == 21 || v.op == 22 ? 1 + below(2) : below(3);
    if (!special && one_in(2)) {
      v.reduce = below(3);
      v.reduce_loops = below(5);
      v.lane_reduce = below(2);
    }
    v.shift = one_in(3) ? below(64) : below(12);
    v.clamp = below(2);
    v.zero_point = static_cast<int16_t>(one_in(2) ? rng_() : below(256) - 128);
    v.lo = static_cast<int16_t>(one_in(2) ? rng_() : -below(200));
    v.hi = static_cast<int16_t>(one_in(2) ? rng_() : below(300));
    v.tail_lanes = v.op == 23 || one_in(2) ? 0 : one_in(8) ? below(256) : below(kL + 1);
    v.imm1 = one_in(2) ? 0 : any32();
    v.imm2 = any32();
    v.mult1 = one_in(2) ? any32() : static_cast<int32_t>(rng_());
    v.mult2 = one_in(2) ? any32() : static_cast<int32_t>(rng_());
    if (one_in(3)) v.mult1 = 1 << below(12), v.mult2 = 1 << below(12);  // ties
    for (auto& s : v.param_stride) s = static_cast<int32_t>(below(5) - 2);
    v.param = below(kParamRows);
    v.dst = destination(v);
    if (one_in(3)) {
      v.dst2 = destination(v);
    } else if (one_in(4)) {
      v.dst2.dtype = below(8), v.dst2.base = below(1 << 24);  // absent: not looked at
    }
    if (!one_in(8)) v.src1 = source(v);
    if (v.op != 23 && (v.op < 12 || v.op > 12) && !one_in(4)) v.src2 = source(v);
    if (one_in(6) && v.op != 23) v.src2 = v.src1;  // the same vector twice
    if (one_in(8) && v.reduce_loops == 0 && v.op != 23) v.src1 = v.dst;  // in place
    return v;
  }

  // No byte is written twice, none is read that another element of the instruction writes.
  bool obeys(const VectorInstr& v) {
    std::vector<Access> reads, writes;
    accesses(v, reads, writes);
    if (reads.size() + writes.size() > 4000) return false;
    std::map<std::pair<uint32_t, int64_t>, const Access*> owner;  // by smallest vector
    for (const Access& w : writes) {
      for (int64_t a = w.address; a < w.address + w.size; a += kL)
        if (!owner.emplace(std::make_pair(w.buffer, a), &w).second) return false;
    }
    const bool same_iteration = v.reduce_loops == 0 && v.op != 23;
    for (const Access& r : reads) {
      for (int64_t a = r.address; a < r.address + r.size; a += kL) {
        const auto found = owner.find({r.buffer, a});
        if (found == owner.end()) continue;
        const Access& w = *found->second;
        if (!same_iteration || w.iteration != r.iteration || w.address != r.address ||
            w.size != r.size)
          return false;
      }
    }
    return true;
  }

  VectorInstr remember(const VectorInstr& v) {
    recent_ = one_in(2) && v.dst2.present() ? v.dst2 : v.dst;
    for (uint32_t j = 0; j < 4; ++j)
      if (j < v.reduce_loops) recent_.stride[j] = 0;
    return v;
  }

  // Moves an iterator so that its last vector ends with its memory, or one vector further.
  void to_the_end(const VectorInstr& v, Iterator& it) {
    if (!it.present() || it.dtype > 4) return;
    const bool write = &it == &v.dst || &it == &v.dst2;
    int64_t highest = it.base;
    for (uint32_t j = write ? v.reduce_loops : 0; j < 4; ++j)
      if (it.stride[j] > 0) highest += int64_t{v.n[j] - 1} * it.stride[j];
    it.base += capacity(it.buffer) - highest - (one_in(2) ? kL * element_bytes(it.dtype) : 0);
  }

  void spoil(VectorInstr& v) {
    Iterator* iterators[] = {&v.dst, &v.src1, &v.src2, &v.dst2};
    Iterator& it = *iterators[below(4)];
    switch (below(16)) {
      case 0: v.n[below(4)] = 0; break;
      case 1: v.op = below(64); break;
      case 2: v.reduce = below(4); break;
      case 3: v.reduce_loops = below(8); break;
      case 4: v.scale = below(4); break;
      case 5: v.lane_reduce ^= 1; break;
      case 6: it.buffer = below(8); break;
      case 7: it.dtype = below(8); break;
      case 8: it.base += 1 + below(4 * kL); break;
      case 9: it.base = below(1 << 24) & ~(4 * kL - 1); break;
      case 10: it.stride[below(4)] = static_cast<int32_t>(rng_()) >> 8; break;
      case 11: it.stride[below(4)] = (static_cast<int32_t>(rng_()) >> 8) & ~(4 * kL - 1); break;
      case 12: v.param = below(2 * kParamRows); break;
      case 13: v.n[below(4)] += below(400); break;
      case 14: v.param = kParamRows; break;
      case 15: to_the_end(v, it); break;
    }
    it.base &= 0xffffff;
  }

  Rng rng_;
  Iterator recent_;
};

// ---------------------------------------------------------------------------------------------
// Cases

void compare(const Memories& rtl, const Memories& model, const std::vector<Access>& ignored) {
  static const char* names[] = {"", "IBUF", "", "OBUF", "VMEM", "PARAM"};
  for (int k : {1, 3, 4, 5}) {
    if (rtl.bytes[k] == model.bytes[k]) continue;
    std::vector<bool> skip(rtl.bytes[k].size());
    for (const Access& a : ignored)
      if (static_cast<int>(a.buffer) == k)
        for (int64_t at = std::max<int64_t>(a.address, 0);
             at < a.address + a.size && at < static_cast<int64_t>(skip.size()); ++at)
          skip[at] = true;
    for (size_t at = 0; at < rtl.bytes[k].size(); ++at)
      if (!skip[at] && rtl.bytes[k][at] != model.bytes[k][at])
        throw Failure{std::string(names[k]) + " byte " + std::to_string(at) + ": model " +
                      std::to_string(model.bytes[k][at]) + ", RTL " +
                      std::to_string(rtl.bytes[k][at])};
  }
}

struct Totals {
  uint64_t instructions = 0, errors = 0, cycles = 0;
  std::map<uint32_t, uint64_t> codes;
};

void random_program(uint64_t seed, Totals& totals) {
  Generator make(seed);
  Bench bench(seed);
  static const int chances[] = {0, 0, 20, 60};
  bench.refuse_read = chances[make.below(4)];
  bench.refuse_write = chances[make.below(4)];
  bench.pause = chances[make.below(4)];
  make.fill(bench.memory);
  Memories model = bench.memory;
  uint32_t index = make.below(1000);

  for (int part = 0; part < 3; ++part) {
    std::vector<VectorInstr> program;
    for (int i = 0; i < 12; ++i) program.push_back(make.good());
    size_t failing = program.size();
    Error expected = Error::kOk;
    if (make.one_in(2)) {
      const VectorInstr v = make.bad();
      failing = make.below(12);
      program[failing] = v;
      expected = check(v);
    }
    try {
      std::vector<Access> ignored;
      for (size_t i = 0; i < program.size(); ++i) {
        if (i == failing && expected != Error::kOk) {
          std::vector<Access> reads;
          if (expected == Error::kLocalRange) accesses(program[i], reads, ignored);
          break;
        }
        jacquard::run(program[i], model);
      }
      const uint64_t before = bench.instructions_done;
      bench.run(program, index);
      if (expected == Error::kOk) {
        if (bench.error()) throw Failure{"unexpected error of instruction " +
                                         std::to_string(bench.pins().error_index_o - index)};
      } else {
        if (!bench.error()) throw Failure{"an error was expected"};
        if (bench.pins().error_code_o != static_cast<uint32_t>(expected) ||
            bench.pins().error_index_o != index + failing)
          throw Failure{"error " + std::to_string(bench.pins().error_code_o) + " of instruction " +
                        std::to_string(bench.pins().error_index_o - index) + ", expected " +
                        std::to_string(static_cast<uint32_t>(expected)) + " of " +
                        std::to_string(failing)};
        if (bench.instructions_done != before + failing)
          throw Failure{"instructions before the bad one were not all done"};
        ++totals.errors;
        ++totals.codes[static_cast<uint32_t>(expected)];
      }
      compare(bench.memory, model, ignored);
      if (bench.error()) {
        bench.clear();
        model = bench.memory;
      }
    } catch (Failure& f) {
      f.text = "seed " + std::to_string(seed) + " part " + std::to_string(part) + ": " + f.text;
      // Which instruction: the shortest prefix that goes wrong would tell; print them all.
      for (size_t i = 0; i < program.size(); ++i)
        f.text += "\n" + std::to_string(i) + ": " + program[i].text();
      throw;
    }
    totals.instructions += program.size();
    index += program.size();
  }
  totals.cycles += bench.cycles;
}

// OBUF rows to IBUF, bias and multiplier of each lane: what follows a convolution.
VectorInstr requantize(uint32_t vectors) {
  VectorInstr v;
  v.scale = 2;
  v.shift = 20;
  v.clamp = 1;
  v.lo = -128;
  v.hi = 127;
  v.n = {vectors, 1, 1, 1};
  v.src1 = {3, 4, 0, {static_cast<int32_t>(kObufRowBytes), 0, 0, 0}};
  v.dst = {1, 0, 0, {kL, 0, 0, 0}};
  return v;
}

void expect_cycles(const char* name, Bench& bench, const std::vector<VectorInstr>& program,
                   uint64_t expected, uint64_t busy) {
  Memories model = bench.memory;
  for (const auto& v : program) run(v, model);
  const uint64_t before = bench.cycles, busy_before = bench.busy;
  bench.run(program, 0);
  compare(bench.memory, model, {});
  const uint64_t taken = bench.last_done - before;
  std::printf("%-44s %6llu cycles\n", name, static_cast<unsigned long long>(taken));
  if (taken != expected || bench.busy - busy_before != busy)
    throw Failure{std::string(name) + ": " + std::to_string(taken) + " cycles of which " +
                  std::to_string(bench.busy - busy_before) + " busy, expected " +
                  std::to_string(expected) + " and " + std::to_string(busy)};
}

// From the cycle in which an instruction is taken to the one in which done_o is up: the iterations
// and kFill.
constexpr uint64_t kFill = 10;

void cycle_counts() {
  Bench bench(1);
  Generator(1).fill(bench.memory);
  const uint32_t rows = kObufRows;
  expect_cycles("requantize, one vector a cycle", bench, {requantize(rows)}, rows + kFill, rows);

  std::vector<VectorInstr> four(4, requantize(50));
  for (int i = 0; i < 4; ++i) four[i].dst.base = i * 64 * kL;
  expect_cycles("four requantizes without a gap", bench, four, 200 + kFill, 200);

  VectorInstr add;
  add.op = 21;
  add.scale = 1;
  add.mult1 = 77777, add.mult2 = 55555, add.shift = 17;
  add.n = {100, 1, 1, 1};
  add.src1 = {4, 0, 0, {kL, 0, 0, 0}};
  add.src2 = {1, 0, 0, {kL, 0, 0, 0}};
  add.dst = {4, 0, 128 * kL, {kL, 0, 0, 0}};
  expect_cycles("residual add, two memories", bench, {add}, 100 + kFill, 100);
  add.src2.buffer = 4;
  expect_cycles("residual add, one memory", bench, {add}, 200 + kFill, 200);
  add.src2.buffer = 1;
  add.dst2 = add.dst;
  add.dst2.base += 128 * kL;
  add.n[0] = 50;
  // The second write of the last result is one cycle more; the others hide behind the stalls.
  expect_cycles("both destinations in one memory", bench, {add}, 100 + kFill, 100);

  // The second reads what the first writes: it follows as closely as the data allows.
  VectorInstr first = requantize(100), second = requantize(100);
  first.dst = {4, 4, 0, {4 * kL, 0, 0, 0}};
  second.src1 = {4, 4, 0, {4 * kL, 0, 0, 0}};
  expect_cycles("a long chain needs no drain", bench, {first, second}, 200 + kFill, 200);
  first.n[0] = second.n[0] = 1;
  expect_cycles("a chain of single vectors", bench, {first, second}, 2 + kFill + 9, 2);

  VectorInstr turn;
  turn.op = 23;
  turn.n = {kL, 8, 1, 1};
  turn.src1 = {4, 1, 0, {kL, kL * kL, 0, 0}};
  turn.dst = {1, 1, 0, {kL, kL * kL, 0, 0}};
  expect_cycles("transposition of eight blocks", bench, {turn}, 8 * kL + kL + kFill, 8 * kL);
}

// halt_i: nothing more is read, and the engine comes to rest.
void halting() {
  Bench bench(2);
  Generator(2).fill(bench.memory);
  const auto words = requantize(kObufRows).encode();
  for (int w = 0; w < 28; ++w) bench.pins().instr_i[w] = words[w];
  bench.pins().instr_valid_i = 1;
  for (int i = 0; i < 40; ++i) bench.cycle();
  bench.pins().halt_i = 1;
  for (int i = 0; i < 200; ++i) {
    bench.cycle();
    bench.pins().eval();
    if (bench.pins().instr_ready_o || bench.pins().vec_rd_valid_o)
      throw Failure{"halt_i: the engine goes on"};
    if (i > 12 && bench.pins().vec_wr_valid_o) throw Failure{"halt_i: the pipe does not drain"};
  }
  bench.clear();
  expect_cycles("after halt and clear", bench, {requantize(30)}, 30 + kFill, 30);
}

// ---------------------------------------------------------------------------------------------
// Speed

double khz(Vnpu_vector& top, uint64_t cycles) {
  const std::clock_t start = std::clock();  // processor time: other load does not count
  for (uint64_t i = 0; i < cycles; ++i) {
    top.clk_i = 0;
    top.eval();
    top.clk_i = 1;
    top.eval();
  }
  return cycles / (static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC) / 1e3;
}

void speed() {
  Bench bench(3);
  Vnpu_vector& top = bench.pins();
  top.vec_rd_ready_i = top.vec_wr_ready_i = 1;
  VectorInstr requant = requantize(200), sadd = requantize(200), pool = requantize(200);
  sadd.op = 21;
  sadd.src2 = {4, 0, 0, {kL, 0, 0, 0}};
  sadd.scale = 1;
  pool.op = 0, pool.reduce = 1, pool.reduce_loops = 2, pool.n = {3, 3, 20, 1}, pool.scale = 0;
  pool.src1.stride = {0, 0, 64, 0}, pool.dst.stride = {0, 0, kL, 0};
  std::printf("%s, %d lanes: idle %.0f kHz", kConfig, kL, khz(top, 3'000'000));
  const std::pair<const char*, VectorInstr*> cases[] = {
      {"requantize", &requant}, {"scaled add", &sadd}, {"max pool", &pool}};
  for (const auto& [name, v] : cases) {
    const auto words = v->encode();
    for (int w = 0; w < 28; ++w) top.instr_i[w] = words[w];
    top.instr_valid_i = 1;
    std::printf(", %s %.0f kHz", name, khz(top, 2'000'000));
    if (top.error_valid_o) throw Failure{"speed: the instruction is refused"};
  }
  std::printf("\n");
}

int main_body(int argc, char** argv) {
  uint64_t programs = 400, seed = 1;
  bool only_speed = false;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--speed")) only_speed = true;
    else if (!std::strcmp(argv[i], "--programs") && i + 1 < argc) programs = std::atoll(argv[++i]);
    else if (!std::strcmp(argv[i], "--seed") && i + 1 < argc) seed = std::atoll(argv[++i]);
    else return std::fprintf(stderr, "unknown argument %s\n", argv[i]), 2;
  }
  try {
    if (only_speed) return speed(), 0;
    Totals totals;
    for (uint64_t s = seed; s < seed + programs; ++s) random_program(s, totals);
    std::printf("%s: %llu random instructions equal, %llu of them in error, %llu cycles\n",
                kConfig, static_cast<unsigned long long>(totals.instructions),
                static_cast<unsigned long long>(totals.errors),
                static_cast<unsigned long long>(totals.cycles));
    for (const auto& [code, count] : totals.codes)
      std::printf("  error code %u: %llu times\n", code, static_cast<unsigned long long>(count));
    if (programs >= 100 && totals.codes.size() != 3)
      throw Failure{"the random programs must meet each of VECTOR's three errors"};
    cycle_counts();
    halting();
  } catch (const Failure& f) {
    std::printf("FAILED: %s\n", f.text.c_str());
    return 1;
  }
  std::printf("PASSED\n");
  return 0;
}

}  // namespace
}  // namespace jacquard

int main(int argc, char** argv) { return jacquard::main_body(argc, argv); }
