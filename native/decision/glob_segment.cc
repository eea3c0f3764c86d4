// MatchGlobSegment: characters are UTF-8 sequences, and each byte that is part of none counts as
// one of its own.
#include <cstdint>

#include "native/decision/path_pattern.h"
#include "native/decision/utf8.h"

namespace fileward {
namespace {

// The character at `at`, a backslash before it skipped; moves `at` behind it.
uint32_t TakeClassCharacter(std::string_view glob, size_t& at) {
  if (glob[at] == '\\' && at + 1 < glob.size()) ++at;
  const Utf8Character character = DecodeUtf8(glob, at);
  at += character.length;
  return character.code;
}

// `at` is behind the '['; moves it behind the ']'.
bool MatchClass(std::string_view glob, size_t& at, uint32_t code) {
  const bool negated = glob[at] == '!' || glob[at] == '^';
  if (negated) ++at;
  bool found = false;
  for (bool first = true; at < glob.size() && (first || glob[at] != ']'); first = false) {
    const uint32_t low = TakeClassCharacter(glob, at);
    uint32_t high = low;
    if (at + 1 < glob.size() && glob[at] == '-' && glob[at + 1] != ']') {
      ++at;
      high = TakeClassCharacter(glob, at);
    }
    found = found || (low <= code && code <= high);
  }
  ++at;
  return found != negated;
}

}  // namespace

bool MatchGlobSegment(std::string_view glob, std::string_view name) {
  size_t at = 0;
  size_t in_name = 0;
  // Where to go on when it fails: behind the last star, which takes one character more.
  size_t star = std::string_view::npos;
  size_t star_name = 0;
  while (in_name < name.size() || at < glob.size()) {
    if (at < glob.size() && glob[at] == '*') {
      star = ++at;
      star_name = in_name;
      continue;
    }
    if (at < glob.size() && in_name < name.size()) {
      const Utf8Character character = DecodeUtf8(name, in_name);
      size_t next = at + 1;
      size_t taken = character.length;
      bool matches = true;
      if (glob[at] == '[') {
        matches = MatchClass(glob, next, character.code);
      } else if (glob[at] != '?') {
        if (glob[at] == '\\' && next < glob.size()) ++next;
        matches = glob[next - 1] == name[in_name];
        taken = 1;
      }
      if (matches) {
        at = next;
        in_name += taken;
        continue;
      }
    }
    if (star == std::string_view::npos || star_name >= name.size()) return false;
    star_name += DecodeUtf8(name, star_name).length;
    in_name = star_name;
    at = star;
  }
  return true;
}

}  // namespace fileward
