// What a glob means, once more and as simply as possible, to compare the trie with: written from
// contract.md section 3 and the head of path_pattern.h. Slow: braces are written out as texts, and
// the matcher tries everything.
#ifndef FILEWARD_TEST_FUZZ_REFERENCE_GLOB_H_
#define FILEWARD_TEST_FUZZ_REFERENCE_GLOB_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fileward::reference {

// Behind the whole thing that begins at `at`: an escape, a class or one byte.
inline size_t Behind(std::string_view glob, size_t at) {
  if (glob[at] == '\\') return at + 2;
  if (glob[at] != '[') return at + 1;
  ++at;
  if (glob[at] == '!' || glob[at] == '^') ++at;
  for (bool first = true; first || glob[at] != ']'; first = false) at += glob[at] == '\\' ? 2 : 1;
  return at + 1;
}

// `glob` is one that PathPattern::ParseGlob accepts.
inline void WriteOut(const std::string& glob, std::vector<std::string>& texts) {
  for (size_t at = 0; at < glob.size(); at = Behind(glob, at)) {
    if (glob[at] != '{') continue;
    std::vector<std::string> inside(1);
    size_t end = at + 1;
    for (int depth = 1; depth > 0;) {
      const size_t next = Behind(glob, end);
      const std::string taken = glob.substr(end, next - end);
      if (taken == "{") ++depth;
      if (taken == "}") --depth;
      if (taken == "," && depth == 1) {
        inside.emplace_back();
      } else if (depth > 0) {
        inside.back() += taken;
      }
      end = next;
    }
    for (const std::string& each : inside) {
      WriteOut(glob.substr(0, at) + each + glob.substr(end), texts);
    }
    return;
  }
  texts.push_back(glob);
}

// Bytes of the UTF-8 character at `at`, and which it is; one byte that is part of none is itself.
inline std::pair<size_t, uint32_t> Character(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> uint32_t { return static_cast<unsigned char>(text[at + i]); };
  const auto follows = [&](size_t i) { return at + i < text.size() && byte(i) >> 6 == 2; };
  const uint32_t lead = byte(0);
  const uint32_t alone = lead < 0x80 ? lead : 0x110000 + lead;
  if (lead >= 0xc0 && lead < 0xe0 && follows(1)) {
    const uint32_t code = ((lead & 0x1f) << 6) | (byte(1) & 0x3f);
    if (code >= 0x80) return {2, code};
  }
  if (lead >= 0xe0 && lead < 0xf0 && follows(1) && follows(2)) {
    const uint32_t code = ((lead & 0xf) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f);
    if (code >= 0x800 && (code < 0xd800 || code > 0xdfff)) return {3, code};
  }
  if (lead >= 0xf0 && lead < 0xf8 && follows(1) && follows(2) && follows(3)) {
    const uint32_t code =
        ((lead & 7) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) | (byte(3) & 0x3f);
    if (code >= 0x10000 && code <= 0x10ffff) return {4, code};
  }
  return {1, alone};
}

class Matcher {
 public:
  Matcher(std::string_view glob, std::string_view path) : glob_(glob), path_(path) {}

  bool Run() { return From(0, 0); }

 private:
  // Does glob_[at..] match path_[in..]?
  bool From(size_t at, size_t in) {
    const auto [known, is_new] = answers_.try_emplace({at, in}, false);
    if (is_new) known->second = Try(at, in);
    return answers_[{at, in}];
  }

  bool Try(size_t at, size_t in) {
    if (at == glob_.size()) return in == path_.size();
    const size_t next = Behind(glob_, at);
    if (glob_[at] == '*') return Stars(at, in);
    if (in == path_.size()) return false;
    if (glob_[at] == '?' || glob_[at] == '[') {
      if (path_[in] == '/') return false;
      const auto [length, code] = Character(path_, in);
      const bool takes = glob_[at] == '?' || InClass(glob_.substr(at, next - at), code);
      return takes && From(next, in + length);
    }
    return glob_[next - 1] == path_[in] && From(next, in + 1);
  }

  bool Stars(size_t at, size_t in) {
    size_t end = at;
    while (end < glob_.size() && glob_[end] == '*') ++end;
    const bool crosses = end - at > 1;
    const size_t behind = SlashAt(end);
    // "/a/**/b" is "/a/b", too.
    if (crosses && at > 0 && glob_[at - 1] == '/' && behind != 0 && From(behind, in)) return true;
    for (size_t to = in;; to += Character(path_, to).first) {
      if (From(end, to)) return true;
      if (to == path_.size() || (!crosses && path_[to] == '/')) return false;
    }
  }

  // Behind the slash at `at`, which a backslash leaves one; 0: there is none.
  size_t SlashAt(size_t at) const {
    if (glob_.substr(at).starts_with('/')) return at + 1;
    return glob_.substr(at).starts_with("\\/") ? at + 2 : 0;
  }

  // `text` with its brackets.
  static bool InClass(std::string_view text, uint32_t code) {
    size_t at = 1;
    const bool turned = text[at] == '!' || text[at] == '^';
    if (turned) ++at;
    bool found = false;
    const size_t end = text.size() - 1;
    const auto take = [&] {
      if (text[at] == '\\') ++at;
      const auto [length, taken] = Character(text, at);
      at += length;
      return taken;
    };
    while (at < end) {
      const uint32_t low = take();
      uint32_t high = low;
      if (at + 1 < end && text[at] == '-') {
        ++at;
        high = take();
      }
      found = found || (low <= code && code <= high);
    }
    return found != turned;
  }

  const std::string_view glob_;
  const std::string_view path_;
  std::map<std::pair<size_t, size_t>, bool> answers_;
};

// `path` is absolute, without an empty segment.
inline bool Matches(const std::string& glob, std::string_view path) {
  std::vector<std::string> texts;
  WriteOut(glob, texts);
  for (const std::string& text : texts) {
    if (Matcher(text, path).Run()) return true;
  }
  return false;
}

}  // namespace fileward::reference

#endif  // FILEWARD_TEST_FUZZ_REFERENCE_GLOB_H_
