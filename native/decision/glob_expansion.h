// A glob as text to its brace-free alternatives: the grammar and its error messages.
#ifndef FILEWARD_DECISION_GLOB_EXPANSION_H_
#define FILEWARD_DECISION_GLOB_EXPANSION_H_

#include <string_view>
#include <vector>

#include "native/decision/path_pattern.h"

namespace fileward {

struct GlobExpansion {
  std::vector<std::vector<PatternSegment>> alternatives;
  PatternError error;  // no message: fine
};

GlobExpansion ExpandGlob(std::string_view text);

}  // namespace fileward

#endif  // FILEWARD_DECISION_GLOB_EXPANSION_H_
