// MATRIX as docs/machine.md tells it, in plain C++: what npu_matrix_test expects of the RTL.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "npu_arch.h"
#include "npu_isa.h"

namespace jacquard {

// Fields of the instruction; encode() lays them out as proto/isa/npu.textproto says.
struct MatrixInstr {
  int64_t ibuf = 0, wbuf = 0, obuf = 0;
  int64_t accumulate = 0, act_unsigned = 0, weight_unsigned = 0, weight_transposed = 0;
  int64_t act_zero = 0, weight_zero = 0;
  int64_t n_x = 1, n_y = 1, n_kx = 1, n_ky = 1, n_c = 1;
  int64_t s_x = 0, s_y = 0, s_kx = 0, s_ky = 0, s_c = 0;

  int64_t positions() const { return n_x * n_y; }
  int64_t passes() const { return n_kx * n_ky * n_c; }

  std::array<uint32_t, 28> encode() const {
    std::array<uint32_t, 28> words{};
    int at = 0;
    auto put = [&](int64_t value, int width) {
      for (int bit = 0; bit < width; ++bit, ++at)
        if (value >> bit & 1) words[at / 32] |= 1u << at % 32;
    };
    put(kOpcodeMatrix, 8), put(3, 4), put(0, 4), put(0, 4);
    put(ibuf, 20), put(wbuf, 20), put(obuf, 20);
    put(accumulate, 1), put(act_unsigned, 1), put(weight_unsigned, 1), put(weight_transposed, 1);
    put(act_zero, 16), put(weight_zero, 16);
    at = 128;
    put(n_x, 16), put(n_y, 16), put(n_kx, 8), put(n_ky, 8), put(n_c, 16), put(s_x, 24),
        put(s_y, 24);
    at = 256;
    put(s_kx, 24), put(s_ky, 24), put(s_c, 24);
    return words;
  }
};

// Contents of the memories, and MATRIX's effect on them.
struct Machine {
  std::vector<uint8_t> ibuf = std::vector<uint8_t>(kIbufBytes);
  std::vector<uint8_t> wbuf = std::vector<uint8_t>(kWbufBytes);
  std::vector<uint8_t> vmem = std::vector<uint8_t>(kVmemBytes);
  std::vector<uint8_t> param = std::vector<uint8_t>(kParamBytes);
  std::vector<uint8_t> table = std::vector<uint8_t>(kTableBytes);
  std::vector<int32_t> obuf = std::vector<int32_t>(kObufRows * kCols);

  // The bits of the index-th weight of WBUF.
  uint8_t weight(int64_t index) const {
    const int64_t bit = index * kWeightBits;
    return wbuf[bit / 8] >> bit % 8 & ((1 << kWeightBits) - 1);
  }

  void run(const MatrixInstr& m) {
    int64_t pass = 0;
    for (int64_t c = 0; c < m.n_c; ++c)
      for (int64_t ky = 0; ky < m.n_ky; ++ky)
        for (int64_t kx = 0; kx < m.n_kx; ++kx, ++pass)
          for (int64_t y = 0; y < m.n_y; ++y)
            for (int64_t x = 0; x < m.n_x; ++x) {
              const int64_t row =
                  m.ibuf + y * m.s_y + x * m.s_x + c * m.s_c + ky * m.s_ky + kx * m.s_kx;
              int32_t* acc = &obuf[(m.obuf + y * m.n_x + x) * kCols];
              for (uint32_t n = 0; n < kCols; ++n) {
                int64_t sum = pass == 0 && !m.accumulate ? 0 : acc[n];
                for (uint32_t k = 0; k < kRows; ++k) {
                  const uint8_t a = ibuf[row * kRows + k];
                  const int64_t tile = (m.wbuf + pass * kRows) * kCols;
                  const uint8_t w =
                      weight(tile + (m.weight_transposed ? n * kCols + k : k * kCols + n));
                  const int64_t act =
                      (m.act_unsigned ? int64_t{a} : int64_t{int8_t(a)}) - m.act_zero;
                  const int64_t value = m.weight_unsigned || w < 1 << (kWeightBits - 1)
                                            ? int64_t{w}
                                            : int64_t{w} - (1 << kWeightBits);
                  sum += act * (value - m.weight_zero);
                }
                acc[n] = int32_t(uint32_t(sum));
              }
            }
  }
};

// A random legal instruction whose IBUF rows lie below ibuf_rows; T is between 1 and max_positions.
inline MatrixInstr random_matrix(std::mt19937& rng, int64_t ibuf_rows, int64_t max_positions) {
  auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(rng);
  };
  for (;;) {
    MatrixInstr m;
    m.n_x = pick(1, pick(0, 3) ? max_positions : 3);
    m.n_y = pick(1, std::max<int64_t>(1, max_positions / m.n_x));
    m.n_kx = pick(1, 3), m.n_ky = pick(1, 3), m.n_c = pick(1, 3);
    m.s_x = pick(-2, 3), m.s_y = pick(-40, 40), m.s_kx = pick(-3, 3), m.s_ky = pick(-40, 40);
    m.s_c = pick(-100, 100);
    int64_t low = 0, high = 0;
    for (auto [n, s] : {std::pair{m.n_x, m.s_x},
                        {m.n_y, m.s_y},
                        {m.n_kx, m.s_kx},
                        {m.n_ky, m.s_ky},
                        {m.n_c, m.s_c}})
      (s < 0 ? low : high) += (n - 1) * s;
    if (high - low >= ibuf_rows || m.passes() * kRows > kWbufRows) continue;
    m.ibuf = pick(-low, ibuf_rows - 1 - high);
    m.wbuf = pick(0, kWbufRows - m.passes() * kRows);
    m.obuf = pick(0, kObufRows - m.positions());
    m.accumulate = pick(0, 1), m.act_unsigned = pick(0, 1), m.weight_unsigned = pick(0, 1);
    m.weight_transposed = kRows == kCols && pick(0, 2) == 0;
    m.act_zero = m.act_unsigned ? pick(0, 255) : pick(-128, 127);
    const int64_t weights = 1 << kWeightBits;
    m.weight_zero = m.weight_unsigned ? pick(0, weights - 1) : pick(-weights / 2, weights / 2 - 1);
    return m;
  }
}

}  // namespace jacquard
