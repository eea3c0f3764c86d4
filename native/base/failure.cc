#include "native/base/failure.h"

#include <array>
#include <atomic>

namespace fileward {
namespace {

constexpr std::array<std::string_view, kFailureCount> kNames = {
#define FILEWARD_FAILURE_NAME(name, text) text,
    FILEWARD_FAILURES(FILEWARD_FAILURE_NAME)
#undef FILEWARD_FAILURE_NAME
};

// Each is only ever added to and read by itself: relaxed is enough.
std::array<std::atomic<uint64_t>, kFailureCount> counters{};

}  // namespace

std::string_view FailureName(Failure reason) { return kNames[static_cast<size_t>(reason)]; }

void CountFailure(Failure reason, uint64_t times) {
  counters[static_cast<size_t>(reason)].fetch_add(times, std::memory_order_relaxed);
}

uint64_t FailureCount(Failure reason) {
  return counters[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
}

}  // namespace fileward
