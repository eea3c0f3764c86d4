#include "native/decision/regex_shape.h"

#include <cctype>
#include <string>

namespace fileward {
namespace {

using Kind = PatternSegment::Kind;

bool IsQuantifier(char byte) { return byte == '*' || byte == '+' || byte == '?' || byte == '{'; }

// Reads one segment at a time. Only `expression` syntax that is common in paths is understood;
// whatever else comes makes the rest opaque, which costs marks and never a match.
class Scanner {
 public:
  explicit Scanner(std::string_view expression) : text_(expression) {
    if (text_.starts_with('^')) text_.remove_prefix(1);
    if (text_.ends_with('$') && !text_.ends_with("\\$")) text_.remove_suffix(1);
  }

  RegexShape Run() {
    if (!AtSeparator()) {
      static constexpr std::string_view kMeta = ".[(\\|*+?{^$";
      const bool plain = !text_.empty() && kMeta.find(text_.front()) == std::string_view::npos;
      RegexShape shape = Opaque({});
      shape.relative = plain && !alternation_;
      return shape;
    }
    RegexShape shape;
    while (at_ < text_.size()) {
      SkipSeparator();
      if (at_ < text_.size() && IsQuantifier(text_[at_])) {
        if (!shape.segments.empty()) shape.segments.pop_back();
        return Opaque(std::move(shape.segments));
      }
      ReadSegment();
      if (alternation_) return Opaque({});
      if (opaque_) return Opaque(std::move(shape.segments));
      shape.segments.push_back(plain_ && !literal_.empty()
                                   ? PatternSegment{Kind::kLiteral, literal_}
                                   : PatternSegment{Kind::kGlob, "*"});
    }
    return shape;
  }

 private:
  // A top-level '|' may still come: then the segments before it mean nothing.
  RegexShape Opaque(std::vector<PatternSegment> segments) {
    while (at_ < text_.size() && !alternation_) {
      if (AtSeparator()) SkipSeparator();
      ReadSegment();
    }
    RegexShape shape;
    if (!alternation_) shape.segments = std::move(segments);
    shape.segments.push_back({Kind::kAnyDirectories, ""});
    shape.segments.push_back({Kind::kGlob, "*"});
    return shape;
  }

  bool AtSeparator() const {
    return text_.substr(at_).starts_with('/') || text_.substr(at_).starts_with("\\/");
  }
  void SkipSeparator() { at_ += text_[at_] == '\\' ? 2 : 1; }

  // Up to the next '/' that is in no group.
  void ReadSegment() {
    literal_.clear();
    plain_ = true;
    int depth = 0;
    while (at_ < text_.size() && !(depth == 0 && AtSeparator())) {
      const char byte = text_[at_++];
      if (byte == '\\') {
        ReadEscape();
      } else if (byte == '[') {
        plain_ = false;
        ReadClass();
      } else if (byte == '(') {
        plain_ = false;
        ++depth;
        ReadGroupStart();
      } else if (byte == ')') {
        --depth;
      } else if (byte == '|') {
        plain_ = false;
        alternation_ = alternation_ || depth == 0;
      } else if (byte == '.' || byte == '/') {
        plain_ = false;
        opaque_ = true;
      } else if (IsQuantifier(byte) || byte == '^' || byte == '$') {
        plain_ = false;
      } else {
        literal_.push_back(byte);
      }
    }
  }

  void ReadEscape() {
    const char byte = at_ < text_.size() ? text_[at_++] : '\\';
    if (std::isalnum(static_cast<unsigned char>(byte)) == 0) {
      opaque_ = opaque_ || byte == '/';  // in a group; elsewhere it is a separator
      literal_.push_back(byte);
      return;
    }
    plain_ = false;
    static constexpr std::string_view kNoSlash = "dwsbBntrfvaz";
    if (byte == 'Q') at_ = text_.size();
    opaque_ = opaque_ || kNoSlash.find(byte) == std::string_view::npos;
  }

  void ReadGroupStart() {
    if (!text_.substr(at_).starts_with('?')) return;
    const std::string_view rest = text_.substr(at_);
    const bool names = rest.starts_with("?P<") || rest.starts_with("?<");
    opaque_ = opaque_ || !(rest.starts_with("?:") || names);  // flags change what follows
    at_ = names ? text_.find('>', at_) + 1 : at_ + 1;
    if (!names && at_ < text_.size() && text_[at_] == ':') ++at_;
  }

  void ReadClass() {
    const bool negated = at_ < text_.size() && text_[at_] == '^';
    if (negated) ++at_;
    bool holds_slash = false;
    bool unknown = false;
    for (bool first = true; at_ < text_.size() && (first || text_[at_] != ']'); first = false) {
      // Without its end, "[:" is two characters.
      const size_t named_end =
          text_.substr(at_).starts_with("[:") ? text_.find(":]", at_ + 2) : std::string_view::npos;
      if (named_end != std::string_view::npos) {
        unknown = true;
        at_ = named_end + 2;
        continue;
      }
      char low = text_[at_++];
      if (low == '\\' && at_ < text_.size()) {
        low = text_[at_++];
        unknown = unknown || std::isalnum(static_cast<unsigned char>(low)) != 0;
      }
      char high = low;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        high = text_[at_ + 1];
        unknown = unknown || high == '\\';
        at_ += high == '\\' ? 3 : 2;
      }
      holds_slash = holds_slash || (low <= '/' && '/' <= high);
    }
    ++at_;
    opaque_ = opaque_ || (negated ? !holds_slash : holds_slash || unknown);
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string literal_;
  bool plain_ = true;
  bool opaque_ = false;       // something could have matched a '/'
  bool alternation_ = false;  // a '|' outside of all groups
};

}  // namespace

RegexShape ShapeOfRegex(std::string_view text) { return Scanner(text).Run(); }

}  // namespace fileward
