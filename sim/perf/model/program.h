// A program's code: where each instruction lies, for fetch and for the engines.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "npu_isa.h"

namespace jacquard::perf {

struct Header {
  uint8_t opcode;
  uint8_t words;
  uint8_t pop;
  uint8_t push;
};

// The engine that executes an opcode; kNumEngines for `end` and what is unknown.
inline uint32_t EngineOf(uint8_t opcode) {
  switch (opcode) {
    case kOpcodeLoad: return static_cast<uint32_t>(Engine::kLoad);
    case kOpcodeMatrix: return static_cast<uint32_t>(Engine::kMatrix);
    case kOpcodeVector: return static_cast<uint32_t>(Engine::kVector);
    case kOpcodeStore: return static_cast<uint32_t>(Engine::kStore);
    default: return kNumEngines;
  }
}

class Program {
 public:
  // Instructions up to `end`, or to the first that is none; what lies behind does not matter.
  Program(const uint8_t* code, size_t size) {
    size_t at = 0;
    while (at + kWordBytes <= size) {
      const Header header{code[at], static_cast<uint8_t>(code[at + 1] & 15),
                          static_cast<uint8_t>(code[at + 1] >> 4),
                          static_cast<uint8_t>(code[at + 2] & 15)};
      const bool known = header.opcode == kOpcodeEnd || EngineOf(header.opcode) < kNumEngines;
      if (!known || header.words == 0 || header.words > kMaxWords) break;
      headers_.push_back(header);
      offsets_.push_back(at);
      at += header.words * kWordBytes;
      whole_ = header.opcode == kOpcodeEnd;
      if (whole_) break;
    }
    code_.assign(code, code + std::min(at, size));
  }

  uint32_t size() const { return static_cast<uint32_t>(headers_.size()); }
  bool whole() const { return whole_; }  // ends with `end`
  const Header& header(uint32_t index) const { return headers_[index]; }

  // kMaxWords words, zero past the instruction's own, and eight bytes more.
  struct Words {
    uint8_t bytes[kMaxWords * kWordBytes + 8] = {};
  };
  Words words(uint32_t index) const {
    Words words;
    const size_t bytes = std::min(size_t{headers_[index].words} * kWordBytes,
                                  code_.size() - offsets_[index]);
    std::memcpy(words.bytes, &code_[offsets_[index]], bytes);
    return words;
  }

 private:
  bool whole_ = false;
  std::vector<uint8_t> code_;
  std::vector<Header> headers_;
  std::vector<size_t> offsets_;
};

}  // namespace jacquard::perf
