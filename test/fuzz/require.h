// What must hold, in a fuzz target: it stops there, and libFuzzer keeps the input.
#ifndef FILEWARD_TEST_FUZZ_REQUIRE_H_
#define FILEWARD_TEST_FUZZ_REQUIRE_H_

#include <cstdio>
#include <cstdlib>

namespace fileward {

// The defaults are the caller's place; clang 14 has no std::source_location.
inline void Require(bool holds, const char* what = "this", const char* file = __builtin_FILE(),
                    int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "fileward: %s does not hold at %s:%d\n", what, file, line);
  std::abort();
}

}  // namespace fileward

#endif  // FILEWARD_TEST_FUZZ_REQUIRE_H_
