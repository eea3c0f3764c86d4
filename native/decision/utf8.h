// UTF-8 as file names need it: what is none is a byte, not an error.
#ifndef FILEWARD_DECISION_UTF8_H_
#define FILEWARD_DECISION_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fileward {

struct Utf8Character {
  // The code point; kInvalidUtf8 + byte for a byte that is part of no sequence.
  uint32_t code;
  size_t length;
};
inline constexpr uint32_t kInvalidUtf8 = 0x110000;  // above all of Unicode

// The character at `at`, which must be inside `text`.
Utf8Character DecodeUtf8(std::string_view text, size_t at);

bool IsUtf8(std::string_view text);

}  // namespace fileward

#endif  // FILEWARD_DECISION_UTF8_H_
