// What a regex says about directories: segments that match at least every path it matches.
#ifndef FILEWARD_DECISION_REGEX_SHAPE_H_
#define FILEWARD_DECISION_REGEX_SHAPE_H_

#include <string_view>
#include <vector>

#include "native/decision/path_pattern.h"

namespace fileward {

struct RegexShape {
  std::vector<PatternSegment> segments;
  bool relative = false;  // begins with a plain character that is no '/': can never match a path
};

// `text` must be a valid RE2 expression. Literal segments are kept, segments that can't hold a '/'
// become `*`, and from the first that could, anything.
RegexShape ShapeOfRegex(std::string_view text);

}  // namespace fileward

#endif  // FILEWARD_DECISION_REGEX_SHAPE_H_
