#ifndef FILEWARD_BASE_CLOCK_H_
#define FILEWARD_BASE_CLOCK_H_

#include <cstdint>
#include <ctime>

namespace fileward {

inline uint64_t NowNs(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

// The clock of the proc connector's timestamps and of every interval in the core.
inline uint64_t MonotonicNs() { return NowNs(CLOCK_MONOTONIC); }

inline uint64_t RealtimeNs() { return NowNs(CLOCK_REALTIME); }

}  // namespace fileward

#endif  // FILEWARD_BASE_CLOCK_H_
