#include "native/decision/path_pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "native/decision/glob_expansion.h"
#include "native/decision/regex_shape.h"

namespace fileward {
namespace {

using Kind = PatternSegment::Kind;

std::vector<PatternSegment> SplitPath(std::string_view path) {
  std::vector<PatternSegment> segments;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) segments.push_back({Kind::kLiteral, std::string(path.substr(at, end - at))});
    at = end + 1;
  }
  return segments;
}

size_t LiteralSegments(const std::vector<PatternSegment>& segments) {
  const auto end = std::find_if(segments.begin(), segments.end(),
                                [](const auto& segment) { return segment.kind != Kind::kLiteral; });
  return static_cast<size_t>(end - segments.begin());
}

PatternAlternative MakeAlternative(std::vector<PatternSegment> segments, bool may_be_literal) {
  PatternAlternative alternative;
  const size_t literals = LiteralSegments(segments);
  for (size_t i = 0; i < literals; ++i) alternative.written_base += "/" + segments[i].text;
  if (alternative.written_base.empty()) alternative.written_base = "/";
  alternative.base = alternative.written_base;
  alternative.literal = may_be_literal && literals == segments.size();
  alternative.segments = std::move(segments);
  return alternative;
}

// Is there a path strictly below `directory` that segments[from..] match, given that all before
// matched?
bool Below(std::span<const PatternSegment> segments, std::span<const PatternSegment> directory) {
  if (directory.empty()) return !segments.empty();
  if (segments.empty()) return false;
  if (segments.front().kind == Kind::kAnyDirectories) {
    return true;  // it can take the rest of the directory, and something always follows it
  }
  const bool matches = segments.front().kind == Kind::kLiteral
                           ? segments.front().text == directory.front().text
                           : MatchGlobSegment(segments.front().text, directory.front().text);
  return matches && Below(segments.subspan(1), directory.subspan(1));
}

}  // namespace

std::string PatternAlternative::Directory() const {
  if (!literal) return base;
  const size_t slash = base.rfind('/');
  return slash == 0 ? "/" : base.substr(0, slash);
}

PathPattern::ParseResult PathPattern::ParseGlob(std::string_view text) {
  GlobExpansion expansion = ExpandGlob(text);
  if (!expansion.error.message.empty()) return {std::nullopt, std::move(expansion.error)};
  PathPattern pattern;
  pattern.text_ = text;
  for (auto& segments : expansion.alternatives) {
    pattern.alternatives_.push_back(MakeAlternative(std::move(segments), true));
  }
  return {std::move(pattern), {}};
}

PathPattern::ParseResult PathPattern::ParseRegex(std::string_view text) {
  if (text.empty()) return {std::nullopt, {"the expression is empty", 0}};
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return {std::nullopt, {"a path cannot hold a NUL byte", nul}};
  }
  const RE2 expression(re2::StringPiece(text.data(), text.size()), RE2::Quiet);
  if (!expression.ok()) {
    const size_t offset = text.find(expression.error_arg());
    return {std::nullopt, {expression.error(), offset == std::string_view::npos ? 0 : offset}};
  }
  RegexShape shape = ShapeOfRegex(text);
  if (shape.relative) {
    return {std::nullopt, {"the expression matches the whole path, so it must begin with '/'", 0}};
  }
  PathPattern pattern;
  pattern.text_ = text;
  pattern.is_regex_ = true;
  pattern.alternatives_.push_back(MakeAlternative(std::move(shape.segments), false));
  return {std::move(pattern), {}};
}

bool PathPattern::IsLiteral() const {
  return std::all_of(alternatives_.begin(), alternatives_.end(),
                     [](const PatternAlternative& alternative) { return alternative.literal; });
}

std::string PathPattern::LiteralBase() const {
  std::vector<PatternSegment> shared = SplitPath(alternatives_.front().written_base);
  for (const PatternAlternative& alternative : alternatives_) {
    const auto other = SplitPath(alternative.written_base);
    const auto end = std::mismatch(shared.begin(), shared.end(), other.begin(), other.end());
    shared.erase(end.first, shared.end());
  }
  std::string base;
  for (const PatternSegment& segment : shared) base += "/" + segment.text;
  return base.empty() ? "/" : base;
}

bool PathPattern::CouldMatchBelow(std::string_view directory) const {
  const auto names = SplitPath(directory);
  return std::any_of(
      alternatives_.begin(), alternatives_.end(),
      [&](const PatternAlternative& alternative) { return Below(alternative.segments, names); });
}

void PathPattern::AddResolvedBases(const BaseResolver& resolver) {
  const size_t written = alternatives_.size();
  for (size_t i = 0; i < written; ++i) {
    const std::string base = alternatives_[i].written_base;
    if (base == "/") continue;
    const std::string real = resolver(base);
    if (real == base || real.empty() || real.front() != '/') continue;
    PatternAlternative resolved = alternatives_[i];
    resolved.base = real;
    auto& segments = resolved.segments;
    const auto literals = static_cast<std::ptrdiff_t>(LiteralSegments(segments));
    segments.erase(segments.begin(), segments.begin() + literals);
    const auto real_segments = SplitPath(real);
    segments.insert(segments.begin(), real_segments.begin(), real_segments.end());
    if (!segments.empty()) alternatives_.push_back(std::move(resolved));
  }
}

}  // namespace fileward
