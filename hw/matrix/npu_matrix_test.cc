// npu_matrix with npu_memory against matrix_model.h: results bit for bit, the cycle of every done, ports
// under contention, errors, halt, and one assertion that must fire. Prints kHz with everything busy.
//
// npu_matrix_test [INSTRUCTIONS [SEED [CYCLES]]]; exit status 1 on the first difference.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>

#include "Vnpu_matrix_bench.h"
#include "matrix_model.h"
#include "verilated.h"

namespace jacquard {
namespace {

#define CHECK(ok, ...)                                                       \
  do {                                                                       \
    if (!(ok)) {                                                             \
      std::fprintf(stderr, "%s %s:%d: ", kConfig, __FILE__, __LINE__);       \
      std::fprintf(stderr, __VA_ARGS__);                                     \
      std::fprintf(stderr, "\n");                                            \
      std::exit(1);                                                          \
    }                                                                        \
  } while (0)

int element_bytes(Dtype dtype) { return dtype == Dtype::kS32 ? 4 : dtype == Dtype::kS16 || dtype == Dtype::kU16 ? 2 : 1; }

int32_t extend(uint32_t raw, Dtype dtype) {
  switch (dtype) {
    case Dtype::kS8: return int8_t(raw);
    case Dtype::kU8: return uint8_t(raw);
    case Dtype::kS16: return int16_t(raw);
    case Dtype::kU16: return uint16_t(raw);
    default: return int32_t(raw);
  }
}

class Bench {
 public:
  explicit Bench(uint32_t seed) : rng_(seed) {
    context_.fatalOnError(false);  // an assertion that fires sets gotError()
    top_.rst_ni = 0;
    for (int i = 0; i < 4; ++i) cycle();
    top_.rst_ni = 1;
    cycle();
  }

  int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(rng_); }

  // Fills IBUF, WBUF, VMEM, PARAM and TABLE with random bytes through LOAD's port.
  void fill() {
    race_ = false;
    for (Buffer buffer : {Buffer::kIbuf, Buffer::kWbuf, Buffer::kVmem, Buffer::kParam, Buffer::kTable})
      for (uint32_t addr = 0; addr < bytes(buffer).size(); addr += kDramBytes) {
        drive_load(buffer, addr, ~0ull);
        // TABLE takes a word a cycle.
        for (uint32_t i = 1; i < (buffer == Buffer::kTable ? kDramBytes / 4 : 1); ++i) {
          cycle();
          CHECK(!load_done_, "TABLE has taken a beat in %u cycles", i);
        }
        cycle();
        CHECK(load_done_, "LOAD alone was refused");
      }
    top_.load_wr_valid_i = 0;
  }

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
        const uint64_t before = start + positions;
        start = very_first ? weights : std::max(weights, free);
        // The one case that costs a cycle: README.md, timing.
        if (i && pass == 0 && m.accumulate && start == before &&
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
        CHECK(now_ + 1 - first == due.front(), "instruction %zu was done %lu cycles after the start, not %lu",
              index, now_ + 1 - first, due.front());
        due.pop_front();
        ++index;
      }
      CHECK(!top_.error_valid_o, "error %u at instruction %u", top_.error_code_o, top_.error_index_o);
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
    std::fprintf(stderr, "expected now: an error of WritesApart\n");
    cycle();
    CHECK(context_.gotError(), "assertions are compiled out");
  }

  // kHz with MATRIX, VECTOR (OBUF to VMEM, with parameters), LOAD and STORE all moving data every cycle.
  double measure(uint64_t cycles) {
    quiet();
    race_ = false;
    MatrixInstr m;
    m.n_x = 14, m.n_y = 14, m.s_x = 1, m.s_y = 14, m.n_c = 4;
    if (m.positions() > kObufHalfRows) m.n_x = m.n_y = 7;
    set_instr(m, 0);
    top_.instr_valid_i = 1;
    top_.vec_wr_mask_i = ~0u;
    top_.vec_wr_valid_i = 1, top_.vec_wr_buffer_i[0] = uint32_t(Buffer::kVmem), top_.vec_wr_dtype_i[0] = uint32_t(Dtype::kS8);
    top_.vec_rd_valid_i = 1, top_.vec_rd_buffer_i[0] = uint32_t(Buffer::kObuf), top_.vec_rd_dtype_i[0] = uint32_t(Dtype::kS32);
    top_.vec_param_valid_i = 1;
    top_.load_wr_valid_i = 1, top_.load_wr_buffer_i = uint32_t(Buffer::kIbuf), top_.load_wr_strb_i = ~0ull;
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

 private:
  std::vector<uint8_t>& bytes(Buffer buffer) {
    return buffer == Buffer::kIbuf ? machine_.ibuf : buffer == Buffer::kWbuf ? machine_.wbuf
         : buffer == Buffer::kVmem ? machine_.vmem : buffer == Buffer::kTable ? machine_.table : machine_.param;
  }

  // MATRIX reads the lower three quarters of IBUF in a race; the rest is LOAD's and VECTOR's to write.
  uint32_t free_base(Buffer buffer) { return buffer == Buffer::kIbuf ? kIbufBytes / 4 * 3 : 0; }

  void set_instr(const MatrixInstr& m, uint32_t index) {
    const auto words = m.encode();
    for (size_t i = 0; i < words.size(); ++i) top_.instr_i[i] = words[i];
    top_.instr_index_i = index;
  }

  void quiet() {
    top_.instr_valid_i = 0, top_.load_wr_valid_i = 0, top_.store_rd_valid_i = 0;
    top_.vec_rd_valid_i = 0, top_.vec_wr_valid_i = 0, top_.vec_param_valid_i = 0;
    top_.vec_table_valid_i = 0;
    race_ = false;
  }

  void drive_load(Buffer buffer, uint32_t addr, uint64_t strb) {
    top_.load_wr_valid_i = 1;
    top_.load_wr_buffer_i = uint32_t(buffer);
    top_.load_wr_addr_i = addr;
    top_.load_wr_strb_i = strb & (kDramBytes == 64 ? ~0ull : (1ull << kDramBytes) - 1);
    for (uint32_t i = 0; i < kDramBytes; ++i) top_.load_wr_data_i[i] = rng_();
  }

  void drive_vector_read(int port, Buffer buffer, Dtype dtype, uint32_t addr) {
    top_.vec_rd_buffer_i[port] = uint32_t(buffer);
    top_.vec_rd_dtype_i[port] = uint32_t(dtype);
    top_.vec_rd_addr_i[port] = addr;
  }

  // Random requests at every port that is not held by a refused one.
  void drive_race() {
    if (!top_.load_wr_valid_i || load_done_) {
      const Buffer buffer = pick(0, 1) ? Buffer::kIbuf : pick(0, 3) ? Buffer::kVmem : pick(0, 1) ? Buffer::kTable : Buffer::kParam;
      const uint32_t base = free_base(buffer);
      drive_load(buffer, base + pick(0, (bytes(buffer).size() - base) / kDramBytes - 1) * kDramBytes,
                 pick(0, 1) ? ~0ull : rng_());
      top_.load_wr_valid_i = pick(0, 3) != 0;
    }
    if (!top_.store_rd_valid_i || store_done_) {
      const Buffer buffer = pick(0, 1) ? Buffer::kIbuf : Buffer::kVmem;
      top_.store_rd_valid_i = pick(0, 3) != 0;
      top_.store_rd_buffer_i = uint32_t(buffer);
      top_.store_rd_addr_i = pick(0, bytes(buffer).size() / kDramBytes - 1) * kDramBytes;
    }
    const Dtype dtypes[] = {Dtype::kS8, Dtype::kU8, Dtype::kS16, Dtype::kU16, Dtype::kS32};
    const Buffer memories[] = {Buffer::kIbuf, Buffer::kVmem, Buffer::kObuf};
    if (!top_.vec_rd_valid_i || vector_done_) {
      top_.vec_rd_valid_i = pick(0, 3);
      const int first = pick(0, 2);
      for (int port = 0; port < 2; ++port) {
        const Buffer buffer = memories[(first + port) % 3];
        const Dtype dtype = buffer == Buffer::kObuf ? Dtype::kS32 : dtypes[pick(0, buffer == Buffer::kIbuf ? 1 : 4)];
        const uint32_t unit = kLanes * element_bytes(dtype);
        const uint32_t size = buffer == Buffer::kObuf ? kObufBytes : bytes(buffer).size();
        drive_vector_read(port, buffer, dtype, pick(0, size / unit - 1) * unit);
      }
    }
    top_.vec_param_valid_i = pick(0, 1);
    top_.vec_param_row_i = pick(0, kParamRows - 1);
    top_.vec_table_valid_i = pick(0, 2) == 0;
    for (uint32_t l = 0; l < kLanes; ++l) top_.vec_table_entry_i[l] = pick(0, kTableBytes / 4 - 1);
    top_.vec_wr_valid_i = pick(0, 3);
    top_.vec_wr_mask_i = pick(0, 1) ? ~0ull : rng_();
    const int ibuf_port = pick(0, 1);
    for (int port = 0; port < 2; ++port) {
      const Buffer buffer = port == ibuf_port ? Buffer::kIbuf : Buffer::kVmem;
      const Dtype dtype = dtypes[pick(0, buffer == Buffer::kIbuf ? 1 : 4)];
      const uint32_t unit = kLanes * element_bytes(dtype), base = free_base(buffer);
      top_.vec_wr_buffer_i[port] = uint32_t(buffer);
      top_.vec_wr_dtype_i[port] = uint32_t(dtype);
      top_.vec_wr_addr_i[port] = base + pick(0, (bytes(buffer).size() - base) / unit - 1) * unit;
      for (uint32_t l = 0; l < kLanes; ++l) top_.vec_wr_data_i[port][l] = rng_();
    }
  }

  // One clock: requests granted before the edge, their effect on the model, and the data after the edge.
  void cycle() {
    if (race_) drive_race();
    top_.clk_i = 0;
    top_.eval();
    instr_done_ = top_.instr_valid_i && top_.instr_ready_o;
    load_done_ = top_.load_wr_valid_i && top_.load_wr_ready_o;
    store_done_ = top_.store_rd_valid_i && top_.store_rd_ready_o;
    vector_done_ = top_.vec_rd_valid_i && top_.vec_rd_ready_o;
    const bool param = top_.vec_param_valid_i;
    looked_up_ |= top_.vec_table_valid_i;

    // Reads first: a row read in the cycle in which it is written gives the old bytes.
    std::array<uint8_t, kDramBytes> stored{};
    if (store_done_) std::copy_n(&bytes(Buffer(top_.store_rd_buffer_i))[top_.store_rd_addr_i], kDramBytes, stored.begin());
    std::array<std::array<int32_t, kLanes>, 2> vectors{};
    bool known[2] = {};
    for (int port = 0; port < 2; ++port) {
      if (!vector_done_ || !(top_.vec_rd_valid_i >> port & 1)) continue;
      const Buffer buffer = Buffer(top_.vec_rd_buffer_i[port]);
      const Dtype dtype = Dtype(top_.vec_rd_dtype_i[port]);
      const uint32_t addr = top_.vec_rd_addr_i[port], size = element_bytes(dtype);
      known[port] = buffer != Buffer::kObuf || touched_.empty() || !touched_[addr / kObufRowBytes];
      for (uint32_t l = 0; l < kLanes; ++l) {
        if (buffer == Buffer::kObuf) { vectors[port][l] = machine_.obuf[addr / 4 + l]; continue; }
        uint32_t raw = 0;
        for (uint32_t b = 0; b < size; ++b) raw |= uint32_t{bytes(buffer)[addr + l * size + b]} << 8 * b;
        vectors[port][l] = extend(raw, dtype);
      }
    }
    std::array<int32_t, 2 * kLanes> parameters{};
    if (param)
      for (uint32_t i = 0; i < 2 * kLanes; ++i)
        for (uint32_t b = 0; b < 4; ++b)
          parameters[i] |= int32_t(uint32_t{machine_.param[top_.vec_param_row_i * kParamRowBytes + 4 * i + b]} << 8 * b);

    if (top_.vec_table_valid_i)
      for (uint32_t l = 0; l < kLanes; ++l)
        for (uint32_t b = entries_[l] = 0; b < 4; ++b)
          entries_[l] |= uint32_t{machine_.table[4 * top_.vec_table_entry_i[l] + b]} << 8 * b;

    // TABLE: a word of the beat in every cycle in which VECTOR does not read.
    uint32_t first = 0, last = load_done_ ? kDramBytes : 0;
    if (top_.load_wr_valid_i && Buffer(top_.load_wr_buffer_i) == Buffer::kTable) {
      const bool write = !top_.vec_table_valid_i;
      first = 4 * table_word_, last = write ? first + 4 : first;
      table_word_ += write;
      CHECK(load_done_ == (write && table_word_ == kDramBytes / 4), "TABLE is ready after %u words", table_word_);
    }
    if (load_done_ || !top_.load_wr_valid_i) table_word_ = 0;
    if (top_.rst_ni)
      for (uint32_t i = first; i < last; ++i)
        if (uint64_t{top_.load_wr_strb_i} >> i & 1)
          bytes(Buffer(top_.load_wr_buffer_i))[top_.load_wr_addr_i + i] = top_.load_wr_data_i[i];
    for (int port = 0; port < 2; ++port) {
      if (!(top_.vec_wr_valid_i >> port & 1)) continue;
      CHECK(top_.vec_wr_ready_o, "a write of VECTOR was refused");
      const uint32_t size = element_bytes(Dtype(top_.vec_wr_dtype_i[port]));
      for (uint32_t l = 0; l < kLanes; ++l)
        for (uint32_t b = 0; b < size; ++b)
          if (uint64_t{top_.vec_wr_mask_i} >> l & 1)
            bytes(Buffer(top_.vec_wr_buffer_i[port]))[top_.vec_wr_addr_i[port] + l * size + b] =
                top_.vec_wr_data_i[port][l] >> 8 * b;
    }

    top_.clk_i = 1;
    top_.eval();
    context_.timeInc(1);
    ++now_;
    if (store_done_)
      for (uint32_t i = 0; i < kDramBytes; ++i)
        CHECK(top_.store_rd_data_o[i] == stored[i], "cycle %lu: STORE read %02x at byte %u, expected %02x", now_,
              top_.store_rd_data_o[i], top_.store_rd_addr_i + i, stored[i]);
    for (int port = 0; port < 2; ++port)
      for (uint32_t l = 0; known[port] && l < kLanes; ++l)
        CHECK(int32_t(top_.vec_rd_data_o[port][l]) == vectors[port][l],
              "cycle %lu: VECTOR read %d in lane %u of address %u of memory %u, expected %d", now_,
              int32_t(top_.vec_rd_data_o[port][l]), l, top_.vec_rd_addr_i[port], top_.vec_rd_buffer_i[port],
              vectors[port][l]);
    for (uint32_t l = 0; param && l < kLanes; ++l)
      CHECK(int32_t(top_.vec_param_bias_o[l]) == parameters[l] && int32_t(top_.vec_param_mult_o[l]) == parameters[kLanes + l],
            "cycle %lu: PARAM row %u lane %u differs", now_, top_.vec_param_row_i, l);
    for (uint32_t l = 0; l < kLanes && looked_up_; ++l)
      CHECK(top_.vec_table_data_o[l] == entries_[l], "cycle %lu: TABLE gives %08x in lane %u, expected %08x", now_,
            top_.vec_table_data_o[l], l, entries_[l]);
    contended_ += race_ && ((top_.vec_rd_valid_i && !vector_done_) || (top_.store_rd_valid_i && !store_done_) ||
                            (top_.load_wr_valid_i && !load_done_));
  }

 public:
  uint64_t contended_ = 0;

 private:
  VerilatedContext context_;
  Vnpu_matrix_bench top_{&context_};
  std::mt19937 rng_;
  Machine machine_;
  std::vector<bool> touched_;  // OBUF rows that MATRIX may be writing
  std::array<uint32_t, kLanes> entries_{};  // the last that were read of TABLE, once looked_up_
  bool looked_up_ = false;
  uint32_t table_word_ = 0;    // of the beat that LOAD is writing
  uint64_t now_ = 0;           // clock edges so far
  bool race_ = false;
  bool instr_done_ = false, load_done_ = false, store_done_ = false, vector_done_ = false;
};

int main_(int instructions, uint32_t seed, uint64_t cycles) {
  Bench bench(seed);
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
  if (kRows == kCols) {  // no bubble between transposed tiles, in either direction of the change
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
  CHECK(bench.contended_ > uint64_t(instructions), "the race never contended");

  MatrixInstr bad;
  for (auto field : {&MatrixInstr::n_x, &MatrixInstr::n_y, &MatrixInstr::n_kx, &MatrixInstr::n_ky, &MatrixInstr::n_c})
    bad = {}, bad.*field = 0, bench.fail(bad, Error::kIllegal, "a zero count");
  if (kRows != kCols) {
    bad = {}, bad.weight_transposed = 1, bench.fail(bad, Error::kIllegal, "weight_transposed");
  } else {
    bad = {}, bad.weight_transposed = 1, bad.n_kx = 2, bad.wbuf = kWbufRows - 2 * kRows + 1;
    bench.fail(bad, Error::kLocalRange, "transposed tiles past the end");
  }
  bad = {}, bad.ibuf = kIbufRows, bench.fail(bad, Error::kLocalRange, "ibuf past the end");
  bad = {}, bad.n_x = 3, bad.s_x = -1, bad.ibuf = 1, bench.fail(bad, Error::kLocalRange, "ibuf below 0");
  bad = {}, bad.n_c = 2, bad.s_c = 8388607, bench.fail(bad, Error::kLocalRange, "a far stride");
  bad = {}, bad.n_y = 2, bad.s_y = -8388608, bench.fail(bad, Error::kLocalRange, "a far negative stride");
  bad = {}, bad.n_kx = 2, bad.wbuf = kWbufRows - 2 * kRows + 1, bench.fail(bad, Error::kLocalRange, "wbuf past the end");
  bad = {}, bad.wbuf = (1 << 20) - 1, bench.fail(bad, Error::kLocalRange, "wbuf far past the end");
  bad = {}, bad.obuf = kObufRows - 1, bad.n_x = 2, bench.fail(bad, Error::kLocalRange, "obuf past the end");
  bad = {}, bad.ibuf = kIbufRows, bad.n_c = 0, bench.fail(bad, Error::kIllegal, "illegal before range");
  bench.halt();

  const double khz = bench.measure(cycles);
  bench.assertion_fires();
  std::printf("%s: %d instructions, contended cycles %lu, all busy %.0f kHz\n", kConfig, instructions,
              bench.contended_, khz);
  return 0;
}

}  // namespace
}  // namespace jacquard

int main(int argc, char** argv) {
  return jacquard::main_(argc > 1 ? std::atoi(argv[1]) : 2000, argc > 2 ? std::atoi(argv[2]) : 1,
                         argc > 3 ? std::atoll(argv[3]) : 500000);
}
