#include "vector_model.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

namespace jacquard {
namespace {

constexpr int kL = kLanes;
constexpr uint32_t kSelect = 20, kSadd = 21, kLeaky = 22, kTranspose = 23, kExponent = 24, kNorm = 25;
constexpr uint32_t kOff = 0, kPerLane = 2;

struct Packer {
  std::array<uint32_t, 28> words{};
  int at = 0;
  void put(uint64_t value, int width) {
    for (int i = 0; i < width; ++i, ++at)
      if (value >> i & 1) words[at / 32] |= 1u << (at % 32);
  }
  void word(int k) { at = 128 * k; }
  void iterator(int k, const Iterator& it) {
    word(k);
    put(it.buffer, 3);
    put(it.dtype, 3);
    put(it.base, 24);
    for (int32_t s : it.stride) put(static_cast<uint32_t>(s), 24);
  }
};

using Index = std::array<int64_t, 4>;

int64_t address(const Iterator& it, const Index& i, uint32_t first_loop = 0) {
  int64_t a = it.base;
  for (uint32_t j = first_loop; j < 4; ++j) a += i[j] * it.stride[j];
  return a;
}

void for_each_iteration(const VectorInstr& v, const std::function<void(const Index&)>& body) {
  Index i;
  for (i[3] = 0; i[3] < v.n[3]; ++i[3])
    for (i[2] = 0; i[2] < v.n[2]; ++i[2])
      for (i[1] = 0; i[1] < v.n[1]; ++i[1])
        for (i[0] = 0; i[0] < v.n[0]; ++i[0]) body(i);
}

// Last iteration of its reduced group.
bool group_ends(const VectorInstr& v, const Index& i) {
  for (uint32_t j = 0; j < v.reduce_loops; ++j)
    if (i[j] + 1 != v.n[j]) return false;
  return true;
}

bool group_begins(const VectorInstr& v, const Index& i) {
  for (uint32_t j = 0; j < v.reduce_loops; ++j)
    if (i[j] != 0) return false;
  return true;
}

int32_t wrap32(int64_t x) { return static_cast<int32_t>(static_cast<uint64_t>(x)); }
int64_t wrap_add(int64_t a, int64_t b) { return static_cast<int64_t>(uint64_t(a) + uint64_t(b)); }
int64_t wrap_mul(int64_t a, int64_t b) { return static_cast<int64_t>(uint64_t(a) * uint64_t(b)); }

int32_t even_exponent(int32_t a) {
  int32_t e = 0;
  while (e < 30 && a >= int64_t{1} << (e + 2)) e += 2;
  return e;
}

int64_t operate(uint32_t op, int32_t a, int32_t b) {
  const int64_t A = a, B = b;
  const uint32_t by = static_cast<uint32_t>(b) & 31;
  switch (op) {
    case 1: return A + B;
    case 2: return A - B;
    case 3: return A * B;
    case 4: return std::min(A, B);
    case 5: return std::max(A, B);
    case 6: return wrap32(static_cast<int64_t>(static_cast<uint64_t>(A) << by));
    case 7: return A >> by;
    case 8: return wrap32(static_cast<int64_t>(static_cast<uint32_t>(a) >> by));
    case 9: return A & B;
    case 10: return A | B;
    case 11: return A ^ B;
    case 12: return ~A;
    case 13: return A == B;
    case 14: return A != B;
    case 15: return A < B;
    case 16: return A <= B;
    case 17: return A > B;
    case 18: return A >= B;
    case 19: return std::max<int64_t>(A, 0);
    case kExponent: return even_exponent(a);
    case kNorm: {
      if (a <= 0) return 0;
      const int up = 28 - even_exponent(a);
      return up >= 0 ? A << up : A >> -up;
    }
    default: return A;
  }
}

int64_t identity(uint32_t reduce) {
  if (reduce == 1) return std::numeric_limits<int64_t>::min();
  if (reduce == 2) return std::numeric_limits<int64_t>::max();
  return 0;
}

int64_t combine(uint32_t reduce, int64_t x, int64_t y) {
  if (reduce == 1) return std::max(x, y);
  if (reduce == 2) return std::min(x, y);
  return wrap_add(x, y);
}

// Through 128 bits, where nothing overflows: 2 * remainder against 2^s.
int64_t rshift(int64_t x, uint32_t s) {
  if (s == 0) return x;
  const __int128 unit = static_cast<__int128>(1) << s;
  __int128 quotient = static_cast<__int128>(x) / unit, rest = static_cast<__int128>(x) % unit;
  if (rest < 0) rest += unit, quotient -= 1;
  if (2 * rest > unit || (2 * rest == unit && (quotient & 1))) quotient += 1;
  return static_cast<int64_t>(quotient);
}

int32_t saturate(int64_t y, uint32_t dtype) {
  static const int64_t lowest[] = {-128, 0, -32768, 0, -2147483648LL};
  static const int64_t highest[] = {127, 255, 32767, 65535, 2147483647LL};
  return static_cast<int32_t>(std::min(std::max(y, lowest[dtype]), highest[dtype]));
}

// Linear interpolation; t is split by division, not by its bits.
int64_t look_up(const VectorInstr& v, const Memories& m, int64_t y) {
  const int32_t t = saturate(y, 2) + 32768;
  const int64_t at = v.table_index * kTableRowBytes + 4 * (t / 256);
  const int64_t base = m.load(6, at, 2), slope = m.load(6, at + 2, 2);
  return rshift(base * 256 + slope * (t % 256), v.table_shift);
}

int32_t param(const Memories& m, int64_t row, int lane, bool multiplier) {
  return m.load(5, row * kParamRowBytes + (multiplier ? 4 * kL : 0) + 4 * lane, 4);
}

}  // namespace

std::array<uint32_t, 28> VectorInstr::encode() const {
  Packer p;
  p.put(kOpcodeVector, 8);
  p.put(7, 4);
  p.put(0, 8);
  p.put(op, 6);
  p.put(reduce, 2);
  p.put(reduce_loops, 3);
  p.put(lane_reduce, 1);
  p.put(scale, 2);
  p.put(shift, 6);
  p.put(clamp, 1);
  p.put(static_cast<uint32_t>(zero_point), 16);
  p.put(static_cast<uint32_t>(lo), 16);
  p.put(static_cast<uint32_t>(hi), 16);
  p.put(tail_lanes, 8);
  p.put(table, 1);
  p.put(table_index, 4);
  p.put(table_shift, 4);
  p.word(1);
  for (uint32_t count : n) p.put(count, 16);
  p.put(static_cast<uint32_t>(imm1), 32);
  p.put(static_cast<uint32_t>(mult1), 32);
  p.iterator(2, dst);
  p.iterator(3, src1);
  p.word(4);
  p.put(static_cast<uint32_t>(imm2), 32);
  p.put(static_cast<uint32_t>(mult2), 32);
  p.put(param, 16);
  for (int32_t s : param_stride) p.put(static_cast<uint32_t>(s), 12);
  p.iterator(5, src2);
  p.iterator(6, dst2);
  return p.words;
}

std::string VectorInstr::text() const {
  std::string s;
  auto field = [&](const char* name, int64_t value) {
    s += std::string(name) + "=" + std::to_string(value) + " ";
  };
  field("op", op), field("reduce", reduce), field("reduce_loops", reduce_loops);
  field("lane_reduce", lane_reduce), field("scale", scale), field("shift", shift);
  field("clamp", clamp), field("zero_point", zero_point), field("lo", lo), field("hi", hi);
  field("tail_lanes", tail_lanes), field("table", table), field("table_index", table_index);
  field("table_shift", table_shift);
  for (int j = 0; j < 4; ++j) field(("n" + std::to_string(j)).c_str(), n[j]);
  field("imm1", imm1), field("imm2", imm2), field("mult1", mult1), field("mult2", mult2);
  field("param", param);
  for (int32_t x : param_stride) field("ps", x);
  auto iterator = [&](const char* name, const Iterator& it) {
    s += std::string("\n  ") + name + " ";
    field("buffer", it.buffer), field("dtype", it.dtype), field("base", it.base);
    for (int32_t x : it.stride) field("s", x);
  };
  iterator("dst", dst), iterator("src1", src1), iterator("src2", src2), iterator("dst2", dst2);
  return s;
}

Memories::Memories() {
  bytes[1].resize(kIbufBytes);
  bytes[3].resize(kObufBytes);
  bytes[4].resize(kVmemBytes);
  bytes[5].resize(kParamBytes);
  bytes[6].resize(kTableBytes);
}

uint32_t element_bytes(uint32_t dtype) { return dtype < 2 ? 1 : dtype < 4 ? 2 : 4; }

int32_t Memories::load(uint32_t buffer, int64_t address, uint32_t dtype) const {
  const uint8_t* p = bytes.at(buffer).data() + address;
  switch (dtype) {
    case 0: return static_cast<int8_t>(p[0]);
    case 1: return p[0];
    case 2: return static_cast<int16_t>(p[0] | p[1] << 8);
    case 3: return p[0] | p[1] << 8;
    default: {
      int32_t value;
      std::memcpy(&value, p, 4);
      return value;
    }
  }
}

void Memories::store(uint32_t buffer, int64_t address, uint32_t dtype, int32_t value) {
  std::memcpy(bytes.at(buffer).data() + address, &value, element_bytes(dtype));
}

bool reachable(uint32_t buffer, uint32_t dtype, bool write) {
  if (buffer == 1) return dtype < 2;
  if (buffer == 3) return !write && dtype == 4;
  return buffer == 4;
}

Error check(const VectorInstr& v) {
  const bool reduces = v.reduce_loops > 0 || v.lane_reduce;
  for (uint32_t count : v.n)
    if (count == 0) return Error::kIllegal;
  if (v.op > kNorm || v.reduce > 2 || v.scale > 2 || v.reduce_loops > 4) return Error::kIllegal;
  if (!v.dst.present()) return Error::kIllegal;
  for (const Iterator* it : {&v.dst, &v.dst2, &v.src1, &v.src2})
    if (it->present() && it->dtype > 4) return Error::kIllegal;
  if ((v.op == kSadd || v.op == kLeaky) && v.scale == kOff) return Error::kIllegal;
  if (v.op >= kSelect && v.op <= kTranspose && reduces) return Error::kIllegal;
  if (v.op == kTranspose &&
      (v.n[0] != kL || v.scale != kOff || v.tail_lanes != 0 || v.src2.present()))
    return Error::kIllegal;

  for (const Iterator* it : {&v.dst, &v.dst2, &v.src1, &v.src2}) {
    const bool write = it == &v.dst || it == &v.dst2;
    if (it->present() && !reachable(it->buffer, it->dtype, write)) return Error::kLocalRange;
  }
  if (v.table && v.table_index >= kTableRows) return Error::kLocalRange;

  std::vector<Access> reads, writes;
  accesses(v, reads, writes);
  bool inside = true, aligned = true;
  for (const auto* list : {&reads, &writes}) {
    for (const Access& a : *list) {
      const int64_t size = a.buffer == 1   ? kIbufBytes
                           : a.buffer == 3 ? kObufBytes
                           : a.buffer == 4 ? kVmemBytes
                                           : kParamBytes;
      if (a.address < 0 || a.address + a.size > size) inside = false;
      if (a.address % a.size != 0) aligned = false;
    }
  }
  return !aligned ? Error::kAlignment : !inside ? Error::kLocalRange : Error::kOk;
}

void accesses(const VectorInstr& v, std::vector<Access>& reads, std::vector<Access>& writes) {
  uint64_t iteration = 0;
  for_each_iteration(v, [&](const Index& i) {
    auto touch = [&](std::vector<Access>& list, const Iterator& it, uint32_t loop) {
      if (it.present())
        list.push_back({it.buffer, address(it, i, loop), kL * element_bytes(it.dtype), iteration});
    };
    touch(reads, v.src1, 0);
    touch(reads, v.src2, 0);
    if (group_ends(v, i)) {
      touch(writes, v.dst, v.reduce_loops);
      touch(writes, v.dst2, v.reduce_loops);
      if (v.scale == kPerLane) {
        int64_t row = v.param;
        for (uint32_t j = v.reduce_loops; j < 4; ++j) row += i[j] * v.param_stride[j];
        reads.push_back({5, row * kParamRowBytes, kParamRowBytes, iteration});
      }
    }
    ++iteration;
  });
}

void run(const VectorInstr& v, Memories& m) {
  std::array<int64_t, kL> sum{};
  std::array<std::array<int32_t, kL>, kL> block{};  // TRANSPOSE

  for_each_iteration(v, [&](const Index& i) {
    std::array<int32_t, kL> a{}, b{};
    std::array<int64_t, kL> t{};
    const bool tail = v.tail_lanes != 0 && i[0] + 1 == v.n[0];
    const bool reduces = v.reduce_loops > 0 || v.lane_reduce;
    for (int l = 0; l < kL; ++l) {
      auto operand = [&](const Iterator& it, int32_t imm) {
        if (!it.present()) return imm;
        const int64_t at = address(it, i) + int64_t{l} * element_bytes(it.dtype);
        return wrap32(int64_t{m.load(it.buffer, at, it.dtype)} + imm);
      };
      a[l] = operand(v.src1, v.imm1);
      b[l] = operand(v.src2, v.imm2);
      t[l] = operate(v.op, a[l], b[l]);
      if (reduces && tail && l >= static_cast<int>(v.tail_lanes)) t[l] = identity(v.reduce);
      sum[l] = group_begins(v, i) ? t[l] : combine(v.reduce, sum[l], t[l]);
    }
    if (!group_ends(v, i)) return;

    auto finish = [&](const Index& at, const std::array<int64_t, kL>& values) {
      std::array<int64_t, kL> reduced = values;
      if (v.lane_reduce) {
        int64_t all = identity(v.reduce);
        for (int64_t x : values) all = combine(v.reduce, all, x);
        reduced.fill(all);
      }
      int64_t row = v.param;
      for (uint32_t j = v.reduce_loops; j < 4; ++j) row += at[j] * v.param_stride[j];
      for (int l = 0; l < kL; ++l) {
        if (!reduces && tail && l >= static_cast<int>(v.tail_lanes)) continue;
        if (v.op == kSelect && b[l] == 0) continue;
        int64_t x = reduced[l], y = x;
        if (v.scale != kOff) {
          int64_t m1 = v.mult1;
          if (v.scale == kPerLane) {
            m1 = param(m, row, l, true);
            x = wrap_add(x, param(m, row, l, false));
          }
          if (v.op == kLeaky && x < 0) m1 = v.mult2;
          y = wrap_mul(x, m1);
          if (v.op == kSadd) y = wrap_add(y, wrap_mul(b[l], v.mult2));
          y = rshift(y, v.shift);
        }
        y = wrap_add(y, v.zero_point);
        if (v.clamp) y = std::min<int64_t>(std::max<int64_t>(y, v.lo), v.hi);
        if (v.table) y = look_up(v, m, y);
        for (const Iterator* it : {&v.dst, &v.dst2})
          if (it->present())
            m.store(it->buffer, address(*it, at, v.reduce_loops) + l * element_bytes(it->dtype),
                    it->dtype, saturate(y, it->dtype));
      }
    };

    if (v.op != kTranspose) return finish(i, sum);
    block[i[0]] = a;
    if (i[0] + 1 != kL) return;
    Index at = i;
    for (at[0] = 0; at[0] < kL; ++at[0]) {
      std::array<int64_t, kL> column{};
      for (int l = 0; l < kL; ++l) column[l] = block[l][at[0]];
      finish(at, column);
    }
  });
}

}  // namespace jacquard
