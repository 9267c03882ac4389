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

class Program {
 public:
  // Instructions up to `end`, or to the first that is not whole; what lies behind does not matter.
  Program(const uint8_t* code, size_t size) {
    size_t at = 0;
    while (at + kWordBytes <= size) {
      const Header header{code[at], static_cast<uint8_t>(code[at + 1] & 15),
                          static_cast<uint8_t>(code[at + 1] >> 4),
                          static_cast<uint8_t>(code[at + 2] & 15)};
      if (header.words == 0 || header.words > kMaxWords) break;
      headers_.push_back(header);
      offsets_.push_back(at);
      at += header.words * kWordBytes;
      if (header.opcode == kOpcodeEnd) break;
    }
    code_.assign(code, code + std::min(at, size));
  }

  uint32_t size() const { return static_cast<uint32_t>(headers_.size()); }
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
  std::vector<uint8_t> code_;
  std::vector<Header> headers_;
  std::vector<size_t> offsets_;
};

}  // namespace jacquard::perf
