#include "native/decision/glob_expansion.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace fileward {
namespace {

using Kind = PatternSegment::Kind;

// A list of 1,024 paths in braces is a mistake, and six nested pairs of them would be 10^18.
constexpr size_t kMaxAlternatives = 1024;

// A part of the pattern after expansion; each byte remembers where it was written.
struct Text {
  std::string bytes;
  std::vector<size_t> origin;

  void Append(char byte, size_t from) {
    bytes.push_back(byte);
    origin.push_back(from);
  }
  void Append(const Text& other) {
    bytes += other.bytes;
    origin.insert(origin.end(), other.origin.begin(), other.origin.end());
  }
};

class Expander {
 public:
  explicit Expander(std::string_view text) : text_(text) {}

  GlobExpansion Run() {
    if (text_.empty()) Fail("the pattern is empty", 0);
    if (const size_t nul = text_.find('\0'); nul != std::string_view::npos) {
      Fail("a path cannot hold a NUL byte", nul);
    }
    const std::vector<Text> texts = Sequence(0);
    for (const Text& text : texts) {
      if (failed()) break;
      Split(text);
    }
    if (failed()) result_.alternatives.clear();
    return std::move(result_);
  }

 private:
  bool failed() const { return !result_.error.message.empty(); }
  void Fail(std::string message, size_t offset) {
    if (!failed()) result_.error = {std::move(message), offset};
  }

  // Reads up to the end, or in braces up to the ',' or '}' that ends this alternative.
  std::vector<Text> Sequence(size_t depth) {
    std::vector<Text> texts(1);
    while (at_ < text_.size() && !failed()) {
      const char byte = text_[at_];
      if (byte == '{') {
        texts = Combine(texts, Braces(depth));
      } else if (depth > 0 && (byte == ',' || byte == '}')) {
        break;
      } else if (byte == '}') {
        Fail("'}' without a '{' before it; write '\\}' for the character", at_);
      } else if (text_.substr(at_).starts_with("\\/")) {
        ++at_;  // a slash is one with a backslash, too
      } else {
        const size_t length = byte == '[' ? ClassLength() : byte == '\\' ? EscapeLength() : 1;
        for (size_t i = 0; i < length && !failed(); ++i, ++at_) {
          for (Text& text : texts) text.Append(text_[at_], at_);
        }
      }
    }
    return texts;
  }

  std::vector<Text> Braces(size_t depth) {
    const size_t open = at_++;
    std::vector<Text> texts;
    while (!failed()) {
      std::vector<Text> alternative = Sequence(depth + 1);
      if (at_ >= text_.size()) {
        Fail("'{' is not closed; write '\\{' for the character", open);
        break;
      }
      std::move(alternative.begin(), alternative.end(), std::back_inserter(texts));
      if (texts.size() > kMaxAlternatives) TooMany(open);
      if (text_[at_++] == '}') break;
    }
    return texts;
  }

  void TooMany(size_t offset) {
    Fail("the braces stand for more than " + std::to_string(kMaxAlternatives) + " paths", offset);
  }

  std::vector<Text> Combine(const std::vector<Text>& left, const std::vector<Text>& right) {
    std::vector<Text> texts;
    if (left.size() * right.size() > kMaxAlternatives) {
      TooMany(at_ - 1);
      return texts;
    }
    for (const Text& head : left) {
      for (const Text& tail : right) texts.emplace_back(head).Append(tail);
    }
    return texts;
  }

  size_t EscapeLength() {
    if (at_ + 1 < text_.size()) return 2;
    Fail("'\\' at the end has nothing to escape", at_);
    return 0;
  }

  // Of a whole "[...]"; checks it on the way.
  size_t ClassLength() {
    size_t i = at_ + 1;
    if (i < text_.size() && (text_[i] == '!' || text_[i] == '^')) ++i;
    const size_t first = i;
    for (; i < text_.size(); ++i) {
      if (text_[i] == ']' && i > first) return i + 1 - at_;
      if (text_[i] == '[' && i + 1 < text_.size() && text_[i + 1] == ':') {
        Fail("named classes such as [:alpha:] are not part of the glob syntax", i);
        return 0;
      }
      if (text_[i] == '\\') ++i;
      if (i >= text_.size() || text_[i] == '/') break;
      const bool is_range = i + 2 < text_.size() && text_[i + 1] == '-' && text_[i + 2] != ']' &&
                            text_[i + 2] != '\\';
      const auto low = static_cast<unsigned char>(text_[i]);
      if (is_range && low < 0x80 && static_cast<unsigned char>(text_[i + 2]) < low) {
        Fail("the range '" + std::string(text_.substr(i, 3)) + "' is upside down", i);
        return 0;
      }
    }
    Fail(i < text_.size() ? "'[' is not closed before the next '/'"
                          : "'[' is not closed; write '\\[' for the character",
         at_);
    return 0;
  }

  // One brace-free text into segments.
  void Split(const Text& text) {
    if (text.bytes.empty() || text.bytes.front() != '/') {
      return Fail("the path must be absolute, that is begin with '/'",
                  text.origin.empty() ? 0 : text.origin.front());
    }
    std::vector<std::string> segments;
    for (size_t at = 1; at <= text.bytes.size();) {
      const size_t end = std::min(text.bytes.find('/', at), text.bytes.size());
      const std::string segment = text.bytes.substr(at, end - at);
      const bool last = end == text.bytes.size();
      const size_t offset = text.origin[std::min(at, text.origin.size() - 1)];
      if (segment.empty() && last) {
        return Fail(text.bytes.size() == 1
                        ? "'/' alone is a directory; '/**' is everything below it"
                        : "the trailing '/' makes this a directory; '/**' is everything below it",
                    text.origin.back());
      }
      if (segment.empty()) return Fail("empty segment: two slashes in a row", offset);
      if (const std::string name = Unescaped(segment); name == "." || name == "..") {
        return Fail("'" + segment + "' is not followed; write the path without it", offset);
      }
      segments.push_back(segment);
      at = end + 1;
    }
    AddAlternative(segments);
  }

  static bool IsStars(const std::string& segment) {
    return segment.size() >= 2 && segment.find_first_not_of('*') == std::string::npos;
  }

  static std::string Unescaped(const std::string& segment) {
    std::string plain;
    for (size_t i = 0; i < segment.size(); ++i) {
      if (segment[i] == '\\') ++i;
      plain.push_back(segment[i]);
    }
    return plain;
  }

  // Of the ']' that ends the class at `at`; ClassLength has seen it.
  static size_t EndOfClass(const std::string& segment, size_t at) {
    size_t i = at + 1;
    if (segment[i] == '!' || segment[i] == '^') ++i;
    const size_t first = i;
    while (i == first || segment[i] != ']') i += segment[i] == '\\' ? 2 : 1;
    return i;
  }

  // Where an unescaped "**" begins, npos if nowhere.
  static size_t DoubleStar(const std::string& segment) {
    for (size_t i = 0; i + 1 < segment.size(); ++i) {
      if (segment[i] == '\\') {
        ++i;
      } else if (segment[i] == '[') {
        i = EndOfClass(segment, i);
      } else if (segment[i] == '*' && segment[i + 1] == '*') {
        return i;
      }
    }
    return std::string::npos;
  }

  // "x**y" crosses segments too: it is "x*y" or "x*" / any directories / "*y".
  void AddAlternative(const std::vector<std::string>& segments) {
    if (result_.alternatives.size() >= kMaxAlternatives) return TooMany(0);
    for (size_t i = 0; i < segments.size(); ++i) {
      const size_t at = IsStars(segments[i]) ? std::string::npos : DoubleStar(segments[i]);
      if (at == std::string::npos) continue;
      const std::string head = segments[i].substr(0, at);
      const std::string tail =
          segments[i].substr(std::min(segments[i].find_first_not_of('*', at), segments[i].size()));
      std::vector<std::string> within = segments;
      within[i] = head + "*" + tail;
      AddAlternative(within);
      std::vector<std::string> across = segments;
      across[i] = head + "*";
      across.insert(across.begin() + static_cast<std::ptrdiff_t>(i) + 1, {"**", "*" + tail});
      return AddAlternative(across);
    }
    result_.alternatives.push_back(Classify(segments));
  }

  static std::vector<PatternSegment> Classify(const std::vector<std::string>& texts) {
    std::vector<PatternSegment> segments;
    for (const std::string& text : texts) {
      if (IsStars(text)) {
        if (segments.empty() || segments.back().kind != Kind::kAnyDirectories) {
          segments.push_back({Kind::kAnyDirectories, ""});
        }
        continue;
      }
      bool is_glob = false;
      for (size_t i = 0; i < text.size(); i += text[i] == '\\' ? 2 : 1) {
        is_glob = is_glob || text[i] == '*' || text[i] == '?' || text[i] == '[';
      }
      segments.push_back(is_glob ? PatternSegment{Kind::kGlob, text}
                                 : PatternSegment{Kind::kLiteral, Unescaped(text)});
    }
    if (segments.back().kind == Kind::kAnyDirectories) segments.push_back({Kind::kGlob, "*"});
    return segments;
  }

  const std::string_view text_;
  size_t at_ = 0;
  GlobExpansion result_;
};

}  // namespace

GlobExpansion ExpandGlob(std::string_view text) { return Expander(text).Run(); }

}  // namespace fileward
