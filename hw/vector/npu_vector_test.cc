// Random vector instructions, RTL against vector_model, bit for bit.
//
//   npu_vector_test [--programs N] [--seed S]   random programs, then the directed cases
//   npu_vector_test --speed                     kHz of the bare engine, busy and idle
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vector_bench.h"
#include "vector_cases.h"
#include "vector_model.h"
#include "vector_random.h"

namespace jacquard {
namespace {

constexpr int kL = kLanes;

// ---------------------------------------------------------------------------------------------
// Cases

void compare(const Memories& rtl, const Memories& model, const std::vector<Access>& ignored) {
  static const char* names[] = {"", "IBUF", "", "OBUF", "VMEM", "PARAM", "TABLE"};
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
constexpr uint64_t kFill = 12;

void cycle_counts() {
  Bench bench(1);
  Generator(1).fill(bench.memory);
  const uint32_t rows = kObufRows;
  expect_cycles("requantize, one vector a cycle", bench, {requantize(rows)}, rows + kFill, rows);

  std::vector<VectorInstr> four(4, requantize(50));
  for (int i = 0; i < 4; ++i) four[i].dst.base = i * 64 * kL;
  expect_cycles("four requantizes without a gap", bench, four, 200 + kFill, 200);

  for (int i = 0; i < 4; ++i) four[i].table = i % 2, four[i].table_shift = 9;
  expect_cycles("with and without a table, no gap either", bench, four, 200 + kFill, 200);

  VectorInstr add;
  add.op = 21;
  add.scale = 1;
  add.mult1 = 77777, add.mult2 = 55555, add.shift = 17;
  add.n = {100, 1, 1, 1};
  add.src1 = {4, 0, 0, {kL, 0, 0, 0}};
  add.src2 = {1, 0, 0, {kL, 0, 0, 0}};
  add.dst = {4, 0, 128 * kL, {kL, 0, 0, 0}};
  expect_cycles("residual add, two memories", bench, {add}, 100 + kFill, 100);
  add.src2 = {4, 0, 8 * kL, {kL, 0, 0, 0}};
  expect_cycles("residual add, one memory", bench, {add}, 200 + kFill, 200);
  add.src2 = add.src1;
  expect_cycles("both sources alike, read once", bench, {add}, 100 + kFill, 100);
  add.n = {10, 10, 1, 1};
  add.src1.stride[1] = 10 * kL;
  add.dst.stride[1] = 10 * kL;
  add.src2 = {4, 0, 8 * kL, {0, kL, 0, 0}};
  expect_cycles("a source for all of loop 0, read once a round", bench, {add}, 110 + kFill, 110);
  add.n = {100, 1, 1, 1};
  add.src2 = {1, 0, 0, {kL, 0, 0, 0}};
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
  expect_cycles("a chain of single vectors", bench, {first, second}, 2 + kFill + 11, 2);

  VectorInstr turn;
  turn.op = 23;
  turn.n = {kL, 8, 1, 1};
  turn.src1 = {4, 1, 0, {kL, kL * kL, 0, 0}};
  turn.dst = {1, 1, 0, {kL, kL * kL, 0, 0}};
  expect_cycles("transposition of eight blocks", bench, {turn}, 8 * kL + kL + kFill, 8 * kL);
}

// Every operation on its hand-made cases: the RTL, and the model that the random programs trust.
void operations() {
  int number = 0;
  for (const OperationCases& cases : kOperationCases) {
    const uint32_t op = static_cast<uint32_t>(cases.op);
    if (op != static_cast<uint32_t>(number++)) throw Failure{"an operation without a case"};
    Bench bench(1);
    VectorInstr v;
    v.op = op;
    v.src1 = {4, 4, 0, {}};
    v.src2 = {4, 4, 16 * kL, {}};
    v.dst = {4, 4, 32 * kL, {}};
    if (cases.op == VectorOp::kSadd || cases.op == VectorOp::kLeaky)
      v.scale = 1, v.mult1 = 3, v.mult2 = -2, v.shift = 1;
    if (cases.op == VectorOp::kTranspose) {
      v.n[0] = kL;
      v.src2 = {};
      v.dst.stride[0] = 4 * kL;
    }
    for (int l = 0; l < kL; ++l) {
      bench.memory.store(4, 4 * l, 4, cases.lanes[l % 4].src1);
      bench.memory.store(4, 16 * kL + 4 * l, 4, cases.lanes[l % 4].src2);
      bench.memory.store(4, 32 * kL + 4 * l, 4, 77);
    }
    Memories model = bench.memory;
    run(v, model);
    bench.run({v}, 0);
    for (int l = 0; l < kL; ++l) {
      const int32_t expected = cases.lanes[l % 4].result;
      for (const Memories* m : {&std::as_const(model), &std::as_const(bench.memory)})
        if (m->load(4, 32 * kL + 4 * l, 4) != expected)
          throw Failure{std::string(m == &model ? "model" : "RTL") + ", operation " +
                        std::to_string(op) + ", lane " + std::to_string(l) + ": got " +
                        std::to_string(m->load(4, 32 * kL + 4 * l, 4)) + ", expected " +
                        std::to_string(expected)};
    }
  }
  if (number != kOperations) throw Failure{"an operation without a case"};
  std::printf("%d operations as worked out by hand\n", number);
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
  VectorInstr table = requantize(200);
  table.clamp = 0, table.table = 1, table.table_shift = 15;
  std::printf("%s, %d lanes: idle %.0f kHz", kConfig, kL, khz(top, 3'000'000));
  const std::pair<const char*, VectorInstr*> cases[] = {
      {"requantize", &requant}, {"scaled add", &sadd}, {"max pool", &pool}, {"table", &table}};
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
    operations();
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
