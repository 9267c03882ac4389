// The vector engine's pins with memories behind them.
//
// The memories behave as hw/README.md says: data one cycle after the request and garbage in every
// other cycle, reads before writes, requests refused at random.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "Vnpu_vector.h"
#include "vector_model.h"
#include "verilated.h"

namespace jacquard {

struct Failure {
  std::string text;
};

class Bench {
  static constexpr int kL = kLanes;

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
    const bool look_up = top_->vec_table_valid_o && top_->rst_ni;
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
    if (look_up) {
      for (int l = 0; l < kL; ++l) {
        const uint32_t at = 4 * top_->vec_table_entry_o[l];
        if (at >= kTableBytes) throw Failure{"table entry out of range"};
        entry_[l] = memory.load(6, at, 4);
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
      top_->vec_table_data_i[l] = entry_[l];
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
      // What is older than the error still leaves: at most a square of TRANSPOSE, port refused.
      for (int i = 0; i < 200 + 10 * kL; ++i) cycle();
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

  std::mt19937_64 rng_;
  uint64_t poison_ = 1;
  std::array<int32_t, kL> entry_{};  // TABLE's output, which holds until the next read
  VerilatedContext context_;
  std::unique_ptr<Vnpu_vector> top_;
};

}  // namespace jacquard
