// A pattern and paths. The input: one byte that says glob (even) or regex (odd), the pattern, then
// paths, with a NUL between them.
//
// Held for a glob: the trie says what reference_glob.h says. For a regex: whoever RE2 matches as a
// whole, the shape in the trie lets through. For both: where a path matches, the answers about the
// directories above it say that something could (or coverage would leave out a mark), and where all
// below a directory is said to match, it does (or an `except` would take out what is covered).
#include <re2/re2.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "native/decision/path_pattern.h"
#include "native/decision/pattern_trie.h"
#include "native/decision/regex_set.h"
#include "native/decision/utf8.h"
#include "test/fuzz/reference_glob.h"
#include "test/fuzz/require.h"

namespace fileward {
namespace {

constexpr uint32_t kId = 7;
constexpr size_t kMaxPattern = 96;  // the reference tries everything
constexpr size_t kMaxAlternatives = 64;

std::vector<std::string> SplitAtNul(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// As the kernel gives paths: absolute, without empty segments and trailing slashes.
std::string AsPath(std::string_view text) {
  std::string path = "/";
  for (const char byte : text) {
    if (byte != '\0' && (byte != '/' || path.back() != '/')) path.push_back(byte);
  }
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(0, 256);
}

// A path that the pattern comes near to matching, with `filler` for what it leaves open.
std::string NearTo(std::string_view pattern, const std::string& filler, bool is_regex) {
  static constexpr std::string_view kRegexMeta = "()|?+$^{}";
  std::string path;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char byte = pattern[i];
    if (byte == '*' || (is_regex && byte == '.')) {
      path += filler;
    } else if (byte == '\\' && i + 1 < pattern.size()) {
      path.push_back(pattern[++i]);
    } else if (byte == '[' && i + 1 < pattern.size()) {
      path.push_back(pattern[i + 1]);
      i = std::min(pattern.find(']', i + 2), pattern.size());
    } else if (byte == '?' && !is_regex) {
      path.push_back(filler.empty() ? 'x' : filler.front());
    } else if (!is_regex || kRegexMeta.find(byte) == std::string_view::npos) {
      path.push_back(byte);
    }
  }
  return AsPath(path);
}

bool Has(const std::vector<uint32_t>& ids) { return !ids.empty() && ids.front() == kId; }

void RequireDirectoriesSayYes(const PathPattern& pattern, const PatternTrie& trie,
                              const std::string& path) {
  for (size_t slash = path.rfind('/'); slash != std::string::npos;) {
    const std::string directory = slash == 0 ? "/" : path.substr(0, slash);
    Require(Has(trie.CouldMatchBelow(directory)), "could match below");
    Require(pattern.CouldMatchBelow(directory), "the pattern could match below");
    if (slash == path.rfind('/')) Require(Has(trie.CouldMatchIn(directory)), "could match in");
    slash = slash == 0 ? std::string::npos : path.rfind('/', slash - 1);
  }
}

bool SaidToMatchAllAbove(const PatternTrie& trie, const std::string& path) {
  for (size_t slash = path.rfind('/'); slash != std::string::npos;) {
    if (Has(trie.MatchAllBelow(slash == 0 ? "/" : path.substr(0, slash)))) return true;
    slash = slash == 0 ? std::string::npos : path.rfind('/', slash - 1);
  }
  return false;
}

void TryGlob(const std::string& text, const std::vector<std::string>& given) {
  const PathPattern::ParseResult parsed = PathPattern::ParseGlob(text);
  Require(parsed.pattern.has_value() == parsed.error.message.empty());
  if (!parsed.pattern) return Require(parsed.error.offset <= text.size());
  const PathPattern& pattern = *parsed.pattern;
  std::vector<std::string> written_out;
  reference::WriteOut(text, written_out);
  if (pattern.alternatives().size() > kMaxAlternatives || written_out.size() > kMaxAlternatives) {
    return;
  }
  PatternTrie trie;
  for (const auto& alternative : pattern.alternatives()) trie.Add(alternative, kId);
  trie.Finish();
  std::vector<std::string> paths;
  for (const std::string& each : given) {
    paths.push_back(AsPath(each));
    paths.push_back(NearTo(written_out.front(), each, false));
    paths.push_back(NearTo(written_out.back(), each, false));
  }
  for (const std::string& path : paths) {
    if (path == "/") continue;
    const bool matches = Has(trie.Match(path));
    Require(matches == reference::Matches(text, path), "the same as the reference");
    if (matches) RequireDirectoriesSayYes(pattern, trie, path);
    Require(matches || !SaidToMatchAllAbove(trie, path), "all below a directory");
  }
  Require(!pattern.IsLiteral() || Has(trie.Match(pattern.alternatives().front().base)));
}

void TryRegex(const std::string& text, const std::vector<std::string>& given) {
  const PathPattern::ParseResult parsed = PathPattern::ParseRegex(text);
  Require(parsed.pattern.has_value() == parsed.error.message.empty());
  if (!parsed.pattern) return Require(parsed.error.offset <= text.size());
  RegexSet regexes;
  if (!regexes.Add(text, kId) || !regexes.Compile()) return;
  PatternTrie trie;
  for (const auto& alternative : parsed.pattern->alternatives()) trie.Add(alternative, kId);
  trie.Finish();
  for (const std::string& each : given) {
    for (const std::string& path : {AsPath(each), NearTo(text, each, true)}) {
      if (path == "/" || !Has(regexes.Match(path))) continue;
      Require(Has(trie.Match(path)), "the shape lets through");
      RequireDirectoriesSayYes(*parsed.pattern, trie, path);
    }
  }
}

}  // namespace
}  // namespace fileward

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::vector<std::string> parts =
      fileward::SplitAtNul({reinterpret_cast<const char*>(data) + 1, size - 1});
  const std::string pattern = parts.front();
  if (pattern.size() > fileward::kMaxPattern || parts.size() > 8) return 0;
  parts.front() = "a";
  if (data[0] % 2 == 0) {
    fileward::TryGlob(pattern, parts);
  } else {
    fileward::TryRegex(pattern, parts);
  }
  return 0;
}
