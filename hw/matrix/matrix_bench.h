// Pins of npu_matrix_bench, the memories' expected contents, and a clock that checks every port
// against them. A difference ends the process with status 1.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "Vnpu_matrix_bench.h"
#include "matrix_model.h"
#include "verilated.h"

#define CHECK(ok, ...)                                                 \
  do {                                                                 \
    if (!(ok)) {                                                       \
      std::fprintf(stderr, "%s %s:%d: ", kConfig, __FILE__, __LINE__); \
      std::fprintf(stderr, __VA_ARGS__);                               \
      std::fprintf(stderr, "\n");                                      \
      std::exit(1);                                                    \
    }                                                                  \
  } while (0)

namespace jacquard {

inline int element_bytes(Dtype dtype) {
  return dtype == Dtype::kS32 ? 4 : dtype == Dtype::kS16 || dtype == Dtype::kU16 ? 2 : 1;
}

inline int32_t extend(uint32_t raw, Dtype dtype) {
  switch (dtype) {
    case Dtype::kS8:
      return int8_t(raw);
    case Dtype::kU8:
      return uint8_t(raw);
    case Dtype::kS16:
      return int16_t(raw);
    case Dtype::kU16:
      return uint16_t(raw);
    default:
      return int32_t(raw);
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

  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(rng_);
  }

  // Fills IBUF, WBUF, VMEM, PARAM and TABLE with random bytes through LOAD's port.
  void fill() {
    race_ = false;
    for (Buffer buffer :
         {Buffer::kIbuf, Buffer::kWbuf, Buffer::kVmem, Buffer::kParam, Buffer::kTable})
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

 protected:
  std::vector<uint8_t>& bytes(Buffer buffer) {
    return buffer == Buffer::kIbuf    ? machine_.ibuf
           : buffer == Buffer::kWbuf  ? machine_.wbuf
           : buffer == Buffer::kVmem  ? machine_.vmem
           : buffer == Buffer::kTable ? machine_.table
                                      : machine_.param;
  }

  // MATRIX reads the lower three quarters of IBUF in a race; the rest is LOAD's and VECTOR's to
  // write.
  uint32_t free_base(Buffer buffer) { return buffer == Buffer::kIbuf ? kIbufBytes / 4 * 3 : 0; }

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
      const Buffer buffer = pick(0, 1)   ? Buffer::kIbuf
                            : pick(0, 3) ? Buffer::kVmem
                            : pick(0, 1) ? Buffer::kTable
                                         : Buffer::kParam;
      const uint32_t base = free_base(buffer);
      drive_load(buffer,
                 base + pick(0, (bytes(buffer).size() - base) / kDramBytes - 1) * kDramBytes,
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
        const Dtype dtype = buffer == Buffer::kObuf
                                ? Dtype::kS32
                                : dtypes[pick(0, buffer == Buffer::kIbuf ? 1 : 4)];
        const uint32_t unit = kLanes * element_bytes(dtype);
        const uint32_t size = buffer == Buffer::kObuf ? kObufBytes : bytes(buffer).size();
        drive_vector_read(port, buffer, dtype, pick(0, size / unit - 1) * unit);
      }
    }
    top_.vec_param_valid_i = pick(0, 1);
    top_.vec_param_row_i = pick(0, kParamRows - 1);
    top_.vec_table_valid_i = pick(0, 2) == 0;
    for (uint32_t l = 0; l < kLanes; ++l)
      top_.vec_table_entry_i[l] = pick(0, kTableBytes / 4 - 1);
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

  // One clock: requests granted before the edge, their effect on the model, and the data after the
  // edge.
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
    if (store_done_)
      std::copy_n(&bytes(Buffer(top_.store_rd_buffer_i))[top_.store_rd_addr_i], kDramBytes,
                  stored.begin());
    std::array<std::array<int32_t, kLanes>, 2> vectors{};
    bool known[2] = {};
    for (int port = 0; port < 2; ++port) {
      if (!vector_done_ || !(top_.vec_rd_valid_i >> port & 1)) continue;
      const Buffer buffer = Buffer(top_.vec_rd_buffer_i[port]);
      const Dtype dtype = Dtype(top_.vec_rd_dtype_i[port]);
      const uint32_t addr = top_.vec_rd_addr_i[port], size = element_bytes(dtype);
      known[port] = buffer != Buffer::kObuf || touched_.empty() || !touched_[addr / kObufRowBytes];
      for (uint32_t l = 0; l < kLanes; ++l) {
        if (buffer == Buffer::kObuf) {
          vectors[port][l] = machine_.obuf[addr / 4 + l];
          continue;
        }
        uint32_t raw = 0;
        for (uint32_t b = 0; b < size; ++b)
          raw |= uint32_t{bytes(buffer)[addr + l * size + b]} << 8 * b;
        vectors[port][l] = extend(raw, dtype);
      }
    }
    std::array<int32_t, 2 * kLanes> parameters{};
    if (param)
      for (uint32_t i = 0; i < 2 * kLanes; ++i)
        for (uint32_t b = 0; b < 4; ++b)
          parameters[i] |= int32_t(
              uint32_t{machine_.param[top_.vec_param_row_i * kParamRowBytes + 4 * i + b]} << 8 * b);

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
      CHECK(load_done_ == (write && table_word_ == kDramBytes / 4),
            "TABLE is ready after %u words", table_word_);
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
        CHECK(top_.store_rd_data_o[i] == stored[i],
              "cycle %lu: STORE read %02x at byte %u, expected %02x", now_, top_.store_rd_data_o[i],
              top_.store_rd_addr_i + i, stored[i]);
    for (int port = 0; port < 2; ++port)
      for (uint32_t l = 0; known[port] && l < kLanes; ++l)
        CHECK(int32_t(top_.vec_rd_data_o[port][l]) == vectors[port][l],
              "cycle %lu: VECTOR read %d in lane %u of address %u of memory %u, expected %d", now_,
              int32_t(top_.vec_rd_data_o[port][l]), l, top_.vec_rd_addr_i[port],
              top_.vec_rd_buffer_i[port], vectors[port][l]);
    for (uint32_t l = 0; param && l < kLanes; ++l)
      CHECK(int32_t(top_.vec_param_bias_o[l]) == parameters[l] &&
                int32_t(top_.vec_param_mult_o[l]) == parameters[kLanes + l],
            "cycle %lu: PARAM row %u lane %u differs", now_, top_.vec_param_row_i, l);
    for (uint32_t l = 0; l < kLanes && looked_up_; ++l)
      CHECK(top_.vec_table_data_o[l] == entries_[l],
            "cycle %lu: TABLE gives %08x in lane %u, expected %08x", now_,
            top_.vec_table_data_o[l], l, entries_[l]);
    contended_ +=
        race_ && ((top_.vec_rd_valid_i && !vector_done_) ||
                  (top_.store_rd_valid_i && !store_done_) || (top_.load_wr_valid_i && !load_done_));
  }

  uint64_t contended_ = 0;  // cycles in which a request was refused in a race
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

}  // namespace jacquard
