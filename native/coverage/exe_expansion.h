// The paths in a root that one alternative of an app's pattern names.
#ifndef FILEWARD_COVERAGE_EXE_EXPANSION_H_
#define FILEWARD_COVERAGE_EXE_EXPANSION_H_

#include <string>
#include <vector>

#include "native/decision/path_pattern.h"

namespace fileward {

class RootDirectory;

// A literal path is given whether it exists or not; of a glob, what is there, at most 10,000 in
// 50,000 directories (5,000 of a container). Links are not resolved.
std::vector<std::string> ExpandAlternative(const RootDirectory& root,
                                           const PatternAlternative& alternative);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_EXE_EXPANSION_H_
