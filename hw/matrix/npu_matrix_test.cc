// npu_matrix with npu_memory against matrix_model.h: results bit for bit, the cycle of every done,
// ports under contention, errors, halt, and one assertion that must fire. Prints kHz with
// everything busy.
//
// npu_matrix_test [INSTRUCTIONS [SEED [CYCLES]]]; exit status 1 on the first difference.
#include <algorithm>
#include <ctime>
#include <deque>

#include "matrix_bench.h"

namespace jacquard {
namespace {

class MatrixTest : public Bench {
 public:
  using Bench::Bench;

  // Runs instructions, all offered at once; checks the cycle of every done, then OBUF.
  void run(const std::vector<MatrixInstr>& instrs, bool race) {
    race_ = race;
    std::vector<bool> touched(kObufRows);
    std::deque<uint64_t> due;
    // Cycles from the first handshake: a pass's first read of WBUF, and its first position.
    uint64_t read = 0, start = 0, positions = 0;
    for (size_t i = 0; i < instrs.size(); ++i) {
      const MatrixInstr& m = instrs[i];
      for (int64_t pass = 0; pass < m.passes(); ++pass) {
        const bool very_first = i == 0 && pass == 0;
        read = very_first ? 1 : std::max(start, read + kRows);
        const uint64_t weights = read + (m.weight_transposed ? kRows : 1);
        const uint64_t free = start + std::max<uint64_t>(positions, kRows);
        const uint64_t at_once = start + positions;
        start = very_first ? weights : std::max(weights, free);
        // The one case that costs a cycle: README.md, timing.
        if (i && pass == 0 && m.accumulate && start == at_once &&
            instrs[i - 1].obuf + instrs[i - 1].positions() - 1 == m.obuf)
          ++start;
        positions = m.positions();
      }
      due.push_back(start + positions - 1 + kRows + 2);
      for (int64_t t = 0; t < m.positions(); ++t) touched[m.obuf + t] = true;
      machine_.run(m);
    }
    touched_ = touched;
    size_t next = 0, index = 0;
    uint64_t first = 0;
    while (!due.empty()) {
      top_.instr_valid_i = next < instrs.size();
      if (top_.instr_valid_i) set_instr(instrs[next], next);
      cycle();
      if (instr_done_ && next++ == 0) first = now_;
      if (top_.done_o) {  // visible in the cycle after now_
        CHECK(now_ + 1 - first == due.front(),
              "instruction %zu was done %lu cycles after the start, not %lu", index,
              now_ + 1 - first, due.front());
        due.pop_front();
        ++index;
      }
      CHECK(!top_.error_valid_o, "error %u at instruction %u", top_.error_code_o,
            top_.error_index_o);
      CHECK(now_ - first < 10000000, "instruction %zu is never done", index);
    }
    quiet();
    touched_.assign(kObufRows, false);
    compare_obuf();
  }

  // Reads the whole OBUF through VECTOR's port.
  void compare_obuf() {
    for (uint32_t row = 0; row < kObufRows; ++row) {
      drive_vector_read(0, Buffer::kObuf, Dtype::kS32, row * kObufRowBytes);
      top_.vec_rd_valid_i = 1 << 0;
      cycle();  // the comparison is in cycle()
      CHECK(vector_done_, "VECTOR alone was refused");
    }
    quiet();
    cycle();
    CHECK(!context_.gotError(), "an assertion fired");
  }

  // An instruction that must fail, after a good one and before another.
  void fail(const MatrixInstr& bad, Error error, const char* what) {
    race_ = false;
    MatrixInstr good = random_matrix(rng_, kIbufRows, 3 * kRows);
    good.accumulate = 0;
    const MatrixInstr* instrs[] = {&good, &bad, &good};
    machine_.run(good);
    int done = 0;
    for (int i = 0, next = 0; i < 20000; ++i) {
      top_.instr_valid_i = next < 3;
      if (next < 3) set_instr(*instrs[next], 100 + next);
      cycle();
      next += instr_done_;
      done += top_.done_o;
    }
    quiet();
    CHECK(top_.error_valid_o && top_.error_code_o == uint32_t(error) && top_.error_index_o == 101,
          "%s: error %u at %u", what, top_.error_code_o, top_.error_index_o);
    CHECK(done == 1, "%s: %d instructions done", what, done);
    top_.clear_i = 1;
    cycle();
    top_.clear_i = 0;
    CHECK(!top_.error_valid_o, "clear_i does not clear the error");
    // What the bad instruction wrote before it failed is unspecified: OBUF is written anew.
    overwrite_obuf();
  }

  // halt_i in the middle of an instruction: nothing is done after, and clear_i makes it work again.
  void halt() {
    race_ = false;
    MatrixInstr m;
    m.n_x = kObufRows, m.n_c = 4;
    top_.instr_valid_i = 1;
    set_instr(m, 0);
    for (int i = 0; i < 100; ++i) cycle();
    top_.halt_i = 1;
    for (uint32_t i = 0; i < 4 * kObufRows + 200; ++i) {
      cycle();
      CHECK(!top_.done_o && !instr_done_, "halted MATRIX goes on");
      CHECK(i < 2 || !top_.busy_o, "halted MATRIX is busy");
    }
    quiet();
    top_.halt_i = 0;
    top_.clear_i = 1;
    cycle();
    top_.clear_i = 0;
    overwrite_obuf();
  }

  void overwrite_obuf() {
    MatrixInstr all;
    all.n_x = kObufRows;
    all.s_x = kIbufRows >= 2 * kObufRows ? 2 : 1;
    all.act_zero = -7;
    run({all}, false);
  }

  // Both vectors into one memory is the caller's mistake, and an assertion says so.
  void assertion_fires() {
    top_.vec_wr_valid_i = 3;
    top_.vec_wr_buffer_i[0] = top_.vec_wr_buffer_i[1] = uint32_t(Buffer::kVmem);
    top_.vec_wr_addr_i[0] = top_.vec_wr_addr_i[1] = 0;  // IBUF, where they pointed, is the larger
    std::fprintf(stderr, "expected now: an error of WritesApart\n");
    cycle();
    CHECK(context_.gotError(), "assertions are compiled out");
  }

  // kHz with MATRIX, VECTOR (OBUF to VMEM, with parameters), LOAD and STORE all moving data every
  // cycle.
  double measure(uint64_t cycles) {
    quiet();
    race_ = false;
    MatrixInstr m;
    m.n_x = 14, m.n_y = 14, m.s_x = 1, m.s_y = 14, m.n_c = 4;
    if (m.positions() > kObufHalfRows) m.n_x = m.n_y = 7;
    set_instr(m, 0);
    top_.instr_valid_i = 1;
    top_.vec_wr_mask_i = ~0u;
    top_.vec_wr_valid_i = 1, top_.vec_wr_buffer_i[0] = uint32_t(Buffer::kVmem),
    top_.vec_wr_dtype_i[0] = uint32_t(Dtype::kS8);
    top_.vec_rd_valid_i = 1, top_.vec_rd_buffer_i[0] = uint32_t(Buffer::kObuf),
    top_.vec_rd_dtype_i[0] = uint32_t(Dtype::kS32);
    top_.vec_param_valid_i = 1;
    top_.load_wr_valid_i = 1, top_.load_wr_buffer_i = uint32_t(Buffer::kIbuf),
    top_.load_wr_strb_i = ~0ull;
    top_.store_rd_valid_i = 1, top_.store_rd_buffer_i = uint32_t(Buffer::kVmem);
    const std::clock_t begin = std::clock();
    for (uint64_t i = 0; i < cycles; ++i) {
      top_.vec_rd_addr_i[0] = (kObufHalfRows + i % kObufHalfRows) * kObufRowBytes;
      top_.vec_wr_addr_i[0] = i * kLanes % kVmemBytes;
      top_.load_wr_addr_i = i * kDramBytes % kIbufBytes;
      top_.store_rd_addr_i = i * kDramBytes % kVmemBytes;
      top_.clk_i = 0, top_.eval();
      top_.clk_i = 1, top_.eval();
    }
    const double seconds = double(std::clock() - begin) / CLOCKS_PER_SEC;
    quiet();
    return cycles / seconds / 1e3;
  }

  uint64_t contended() const { return contended_; }

 private:
  void set_instr(const MatrixInstr& m, uint32_t index) {
    const auto words = m.encode();
    for (size_t i = 0; i < words.size(); ++i) top_.instr_i[i] = words[i];
    top_.instr_index_i = index;
  }
};

int main_(int instructions, uint32_t seed, uint64_t cycles) {
  MatrixTest bench(seed);
  std::mt19937 rng(seed + 1);
  bench.fill();
  bench.overwrite_obuf();

  // Hand-made corners: one position per pass; T = R exactly; accumulating onto the row just issued.
  MatrixInstr one, rows, onto;
  one.n_c = 5, one.s_c = 1;
  rows.n_x = kRows, rows.n_kx = 3, rows.s_x = 1, rows.s_kx = 2;
  onto = rows, onto.obuf = kRows - 1, onto.accumulate = 1;
  MatrixInstr overwrite = onto;
  overwrite.accumulate = 0;
  bench.run({one, one, rows, onto, one, rows, rows, overwrite, onto}, false);
  one.n_c = 1;
  bench.run(std::vector<MatrixInstr>(20, one), false);
  if (kRows == kCols) {  // no bubble between transposed tiles, one where the kind changes
    MatrixInstr turned = rows;
    turned.weight_transposed = 1;
    bench.run({turned, turned, rows, turned, rows, rows, turned}, false);
    one.weight_transposed = 1, one.wbuf = 3;
    bench.run(std::vector<MatrixInstr>(20, one), false);
  }

  for (int done = 0; done < instructions;) {
    std::vector<MatrixInstr> batch;
    const int size = int(rng() % 24) + 1;
    for (int i = 0; i < size; ++i) {
      batch.push_back(random_matrix(rng, kIbufRows / 4 * 3, 4 * kRows));
      // Now and then onto the row that was issued last.
      if (i && rng() % 4 == 0) {
        const int64_t row = batch[i - 1].obuf + batch[i - 1].positions() - 1;
        if (row + batch[i].positions() <= kObufRows) batch[i].obuf = row;
      }
    }
    bench.run(batch, rng() % 4 != 0);
    done += size;
  }
  CHECK(bench.contended() > uint64_t(instructions), "the race never contended");

  MatrixInstr bad;
  for (auto field : {&MatrixInstr::n_x, &MatrixInstr::n_y, &MatrixInstr::n_kx, &MatrixInstr::n_ky,
                     &MatrixInstr::n_c})
    bad = {}, bad.*field = 0, bench.fail(bad, Error::kIllegal, "a zero count");
  if (kRows != kCols) {
    bad = {}, bad.weight_transposed = 1, bench.fail(bad, Error::kIllegal, "weight_transposed");
  } else {
    bad = {}, bad.weight_transposed = 1, bad.n_kx = 2, bad.wbuf = kWbufRows - 2 * kRows + 1;
    bench.fail(bad, Error::kLocalRange, "transposed tiles past the end");
  }
  bad = {}, bad.ibuf = kIbufRows, bench.fail(bad, Error::kLocalRange, "ibuf past the end");
  bad = {}, bad.n_x = 3, bad.s_x = -1, bad.ibuf = 1,
  bench.fail(bad, Error::kLocalRange, "ibuf below 0");
  bad = {}, bad.n_c = 2, bad.s_c = 8388607, bench.fail(bad, Error::kLocalRange, "a far stride");
  bad = {}, bad.n_y = 2, bad.s_y = -8388608,
  bench.fail(bad, Error::kLocalRange, "a far negative stride");
  bad = {}, bad.n_kx = 2, bad.wbuf = kWbufRows - 2 * kRows + 1,
  bench.fail(bad, Error::kLocalRange, "wbuf past the end");
  bad = {}, bad.wbuf = (1 << 20) - 1, bench.fail(bad, Error::kLocalRange, "wbuf far past the end");
  bad = {}, bad.obuf = kObufRows - 1, bad.n_x = 2,
  bench.fail(bad, Error::kLocalRange, "obuf past the end");
  bad = {}, bad.ibuf = kIbufRows, bad.n_c = 0,
  bench.fail(bad, Error::kIllegal, "illegal before range");
  bench.halt();

  const double khz = bench.measure(cycles);
  bench.assertion_fires();
  std::printf("%s: %d instructions, contended cycles %lu, all busy %.0f kHz\n", kConfig,
              instructions, bench.contended(), khz);
  return 0;
}

}  // namespace
}  // namespace jacquard

int main(int argc, char** argv) {
  // The model multiplies one by one: fewer instructions where each has more to multiply.
  const int instructions = 2000 * 256 / std::max(256u, jacquard::kRows * jacquard::kCols);
  return jacquard::main_(argc > 1 ? std::atoi(argv[1]) : std::max(300, instructions),
                         argc > 2 ? std::atoi(argv[2]) : 1,
                         argc > 3 ? std::atoll(argv[3]) : 500000);
}
