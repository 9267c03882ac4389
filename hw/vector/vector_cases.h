// Each operation of VECTOR on numbers worked out by hand: neither the model nor the RTL decides.
#pragma once

#include <cstdint>

#include "npu_isa.h"

namespace jacquard {

struct LaneCase {
  int32_t src1, src2, result;
};

struct OperationCases {
  VectorOp op;
  LaneCase lanes[4];
};

inline constexpr int32_t kLow = -2147483647 - 1, kHigh = 2147483647;

// SADD: (3 a - 2 b) / 2 rounded half to even; LEAKY: 3 a / 2, or -2 a / 2 where negative; SELECT
// leaves 77 where src2 is 0. TRANSPOSE: of equal rows, whose first column is their first element.
inline constexpr OperationCases kOperationCases[] = {
    {VectorOp::kMove, {{5, 9, 5}, {-5, 0, -5}, {kLow, 1, kLow}, {kHigh, 1, kHigh}}},
    {VectorOp::kAdd, {{5, 9, 14}, {-5, 3, -2}, {kLow, -1, kLow}, {kHigh, 1, kHigh}}},
    {VectorOp::kSub, {{5, 9, -4}, {-5, -3, -2}, {kLow, 1, kLow}, {0, kLow, kHigh}}},
    {VectorOp::kMul,
     {{5, 9, 45}, {-46341, 46341, kLow}, {46340, 46340, 2147395600}, {kLow, kLow, kHigh}}},
    {VectorOp::kMin, {{5, 9, 5}, {-5, -3, -5}, {kLow, kHigh, kLow}, {7, 7, 7}}},
    {VectorOp::kMax, {{5, 9, 9}, {-5, -3, -3}, {kLow, kHigh, kHigh}, {7, 7, 7}}},
    {VectorOp::kShl, {{5, 2, 20}, {-1, 31, kLow}, {3, 30, -1073741824}, {5, 33, 10}}},
    {VectorOp::kShr, {{-5, 1, -3}, {kLow, 31, -1}, {kHigh, 30, 1}, {-64, 37, -2}}},
    {VectorOp::kShrl, {{-5, 1, 2147483645}, {kLow, 31, 1}, {kHigh, 30, 1}, {-1, 32, -1}}},
    {VectorOp::kAnd, {{12, 10, 8}, {-1, 77, 77}, {kLow, kHigh, 0}, {-4, -6, -8}}},
    {VectorOp::kOr, {{12, 10, 14}, {-1, 77, -1}, {kLow, kHigh, -1}, {-4, -6, -2}}},
    {VectorOp::kXor, {{12, 10, 6}, {-1, 77, -78}, {kLow, kHigh, -1}, {-4, -6, 6}}},
    {VectorOp::kNot, {{12, 10, -13}, {-1, 77, 0}, {kLow, 0, kHigh}, {0, 0, -1}}},
    {VectorOp::kEq, {{5, 5, 1}, {5, 6, 0}, {kLow, kHigh, 0}, {-1, -1, 1}}},
    {VectorOp::kNe, {{5, 5, 0}, {5, 6, 1}, {kLow, kHigh, 1}, {-1, -1, 0}}},
    {VectorOp::kLt, {{5, 5, 0}, {5, 6, 1}, {kLow, kHigh, 1}, {1, -1, 0}}},
    {VectorOp::kLe, {{5, 5, 1}, {5, 6, 1}, {kHigh, kLow, 0}, {1, -1, 0}}},
    {VectorOp::kGt, {{5, 5, 0}, {5, 6, 0}, {kHigh, kLow, 1}, {1, -1, 1}}},
    {VectorOp::kGe, {{5, 5, 1}, {5, 6, 0}, {kLow, kHigh, 0}, {1, -1, 1}}},
    {VectorOp::kRelu, {{5, 0, 5}, {-5, 0, 0}, {kLow, 0, 0}, {kHigh, 0, kHigh}}},
    {VectorOp::kSelect, {{5, 1, 5}, {-5, 0, 77}, {kLow, kLow, kLow}, {kHigh, -1, kHigh}}},
    {VectorOp::kSadd, {{5, 3, 4}, {5, 2, 6}, {-5, 0, -8}, {-7, 1, -12}}},
    {VectorOp::kLeaky, {{5, 0, 8}, {3, 0, 4}, {-5, 0, 5}, {0, 0, 0}}},
    {VectorOp::kTranspose, {{1, 0, 1}, {2, 0, 1}, {3, 0, 1}, {4, 0, 1}}},
    {VectorOp::kExponent, {{1, 0, 0}, {16383, 0, 12}, {kHigh, 0, 30}, {-4, 0, 0}}},
    {VectorOp::kNorm, {{1, 0, 268435456}, {12, 0, 805306368}, {kHigh, 0, 536870911}, {-4, 0, 0}}},
};

}  // namespace jacquard
