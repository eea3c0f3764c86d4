// One `path`, `except` or `exe` pattern of the configuration: a glob, or a regular expression in
// RE2 syntax.
//
// Globs: `*`, `?`, `[..]`, `[!..]` stay inside a segment; `{a,b}` stands for each of its texts, may
// nest and hold `/`;
// `**` crosses segments and may match none (`/a/**` is everything below /a, `/a/**/b` also /a/b);
// `\` takes the next byte as it is; a leading dot is nothing special. `?` and `[..]` take one UTF-8
// character or one byte that is none.
//
// A glob is a list of brace-free alternatives, each a list of segments. So that one trie
// (pattern_trie.h) can hold everything, a regex gets a shape too: segments that match at least what
// the regex does; the regex then confirms. Immutable after AddResolvedBases; safe to read from any
// thread.
#ifndef FILEWARD_DECISION_PATH_PATTERN_H_
#define FILEWARD_DECISION_PATH_PATTERN_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fileward {

struct PatternError {
  std::string message;
  size_t offset = 0;  // byte in the pattern
};

struct PatternSegment {
  enum class Kind { kLiteral, kGlob, kAnyDirectories /* zero or more segments */ };
  Kind kind;
  std::string text;  // kLiteral: unescaped; kGlob: as written

  bool operator==(const PatternSegment&) const = default;
};

struct PatternAlternative {
  std::vector<PatternSegment> segments;  // never empty; the last one is no kAnyDirectories
  // The literal part as written, the whole path when `literal`: an absolute path, "/" at least.
  std::string written_base;
  // The literal part as it is in `segments`: written_base, or where that leads on disk.
  std::string base;
  bool literal = false;

  // The directory that `base` is in or is: where looking for matches starts.
  std::string Directory() const;
};

// Where a literal path leads on disk through links, as far as it exists; the path itself when
// nowhere else.
using BaseResolver = std::function<std::string(const std::string& path)>;

class PathPattern {
 public:
  // Exactly one of the two results is set.
  struct ParseResult;
  static ParseResult ParseGlob(std::string_view text);
  static ParseResult ParseRegex(std::string_view text);

  const std::string& text() const { return text_; }
  bool is_regex() const { return is_regex_; }
  // As written first, then those that AddResolvedBases added.
  std::span<const PatternAlternative> alternatives() const { return alternatives_; }
  // True when the pattern names a finite list of paths.
  bool IsLiteral() const;
  // The literal directory prefix that all alternatives as written share; of one literal path, that
  // path.
  std::string LiteralBase() const;
  // Could a path strictly below `directory` match? For a regex this errs on the side of yes.
  bool CouldMatchBelow(std::string_view directory) const;

  // For each literal part that leads elsewhere, adds the alternative spelt with its real path: both
  // match.
  void AddResolvedBases(const BaseResolver& resolver);

 private:
  std::string text_;
  bool is_regex_ = false;
  std::vector<PatternAlternative> alternatives_;
};

struct PathPattern::ParseResult {
  std::optional<PathPattern> pattern;
  PatternError error;
};

// Does a glob segment match a whole name? Both without '/'.
bool MatchGlobSegment(std::string_view glob, std::string_view name);

}  // namespace fileward

#endif  // FILEWARD_DECISION_PATH_PATTERN_H_
