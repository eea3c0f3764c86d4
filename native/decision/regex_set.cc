#include "native/decision/regex_set.h"

#include "native/decision/pattern_trie.h"
#include "native/decision/utf8.h"

namespace fileward {
namespace {

// For all expressions of a ruleset together; RE2's own default of 8 MiB is meant for one.
constexpr int64_t kMaxBytes = int64_t{256} << 20;

RE2::Options Options(RE2::Options::Encoding encoding) {
  RE2::Options options;
  options.set_encoding(encoding);
  options.set_log_errors(false);
  options.set_max_mem(kMaxBytes);
  // A file name may hold a newline.
  options.set_dot_nl(true);
  return options;
}

}  // namespace

RegexSet::RegexSet()
    : characters_(Options(RE2::Options::EncodingUTF8), RE2::ANCHOR_BOTH),
      bytes_(Options(RE2::Options::EncodingLatin1), RE2::ANCHOR_BOTH) {}

bool RegexSet::Add(const std::string& expression, uint32_t id) {
  if (characters_.Add(expression, nullptr) < 0) return false;
  // One that names characters above 0xff can't match a path of bytes.
  if (bytes_.Add(expression, nullptr) >= 0) {
    byte_expressions_.push_back(static_cast<uint32_t>(expressions_.size()));
  }
  expressions_.push_back({expression, id});
  return true;
}

bool RegexSet::Compile() { return characters_.Compile() && bytes_.Compile(); }

std::vector<uint32_t> RegexSet::Match(std::string_view path) const {
  const bool by_characters = IsUtf8(path);
  const RE2::Set& set = by_characters ? characters_ : bytes_;
  std::vector<int> numbers;
  RE2::Set::ErrorInfo error{};
  std::vector<uint32_t> ids;
  if (!set.Match(re2::StringPiece(path.data(), path.size()), &numbers, &error) &&
      error.kind != RE2::Set::kNoError) {
    // The DFA didn't fit in kMaxBytes: one by one, slow and right.
    const auto encoding = by_characters ? RE2::Options::EncodingUTF8 : RE2::Options::EncodingLatin1;
    for (const Expression& expression : expressions_) {
      const RE2 single(expression.text, Options(encoding));
      if (single.ok() && RE2::FullMatch(re2::StringPiece(path.data(), path.size()), single)) {
        ids.push_back(expression.id);
      }
    }
  }
  for (const int number : numbers) {
    const auto index = static_cast<size_t>(number);
    ids.push_back(expressions_[by_characters ? index : byte_expressions_[index]].id);
  }
  MakeSet(ids);
  return ids;
}

}  // namespace fileward
