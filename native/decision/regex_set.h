// All regular expressions of a ruleset in one RE2::Set: one linear pass tells which match a whole
// path.
//
// A path that is UTF-8 is matched by characters, any other by bytes (Latin-1), so `.` takes
// whatever a name can hold. Thread-safety: const after Compile; RE2 locks its DFA cache for
// moments.
#ifndef FILEWARD_DECISION_REGEX_SET_H_
#define FILEWARD_DECISION_REGEX_SET_H_

#include <re2/re2.h>
#include <re2/set.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fileward {

class RegexSet {
 public:
  RegexSet();

  // False when RE2 refuses the expression.
  bool Add(const std::string& expression, uint32_t id);
  // False when the expressions together are too large.
  bool Compile();
  bool empty() const { return expressions_.empty(); }

  // Ids of the expressions that match the whole of `path`, sorted.
  std::vector<uint32_t> Match(std::string_view path) const;

 private:
  struct Expression {
    std::string text;
    uint32_t id;
  };
  std::vector<Expression> expressions_;
  RE2::Set characters_;
  RE2::Set bytes_;
  std::vector<uint32_t> byte_expressions_;  // indexes in expressions_, by their number in bytes_
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_REGEX_SET_H_
