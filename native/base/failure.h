// The one table of what can go wrong without stopping the agent. Each reason has a counter; its
// name is the `error.type` of metrics and records, so that C++, metrics, records and docs use one
// word for it. A new reason is one new line here. Counting is lock-free and may happen on any
// thread.
#ifndef FILEWARD_BASE_FAILURE_H_
#define FILEWARD_BASE_FAILURE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fileward {

#define FILEWARD_FAILURES(X)                                                                       \
  X(kQueueOverflow, "queue_overflow")          /* notification group: the kernel dropped events */ \
  X(kInotifyOverflow, "inotify_overflow")      /* the same of inotify */                           \
  X(kRingFull, "ring_full")                    /* JavaScript did not drain in time */              \
  X(kCoverageQueueFull, "coverage_queue_full") /* coverage fell behind its reader */               \
  X(kJudgedQueueFull, "judged_queue_full")     /* judged opens that coverage did not take */       \
  X(kProcessFeedOverrun, "process_feed_overrun") /* fork, exec or exit messages lost */            \
  X(kProcessTableFull, "process_table_full")     /* a process or thread that was not remembered */ \
  X(kResponseRejected, "response_rejected")      /* the kernel refused an answer */                \
  X(kEventOpenFailed, "event_open_failed")       /* the kernel could not open an event's file */   \
  X(kEventReadFailed, "event_read_failed")       /* read of a group failed */                      \
  X(kEventMalformed, "event_malformed")          /* an event that we could not parse */            \
  X(kMarkFailed, "mark_failed")                                                                    \
  X(kMarkLimit, "mark_limit")                                                                      \
  X(kWalkFailed, "walk_failed")                                                                    \
  X(kDepthLimit, "depth_limit")                                                                    \
  X(kOverlayLayer,                                                                                 \
    "overlay_layer") /* permission marks below a covered overlay: read() deadlocks */              \
  X(kStrictUnavailable, "strict_unavailable")  /* what `strict` adds can't be had here */          \
  X(kFilesystemMayHang, "filesystem_may_hang") /* a container's mount that is not looked into */   \
  X(kIntentTimeout, "intent_timeout") /* an opener that never parked before the deadline */        \
  X(kDeadline, "deadline")            /* answered by on_deadline */

enum class Failure : uint8_t {
#define FILEWARD_FAILURE_ENUM(name, text) name,
  FILEWARD_FAILURES(FILEWARD_FAILURE_ENUM)
#undef FILEWARD_FAILURE_ENUM
};

#define FILEWARD_FAILURE_ONE(name, text) +1
inline constexpr size_t kFailureCount = 0 FILEWARD_FAILURES(FILEWARD_FAILURE_ONE);
#undef FILEWARD_FAILURE_ONE

// "queue_overflow", ...
std::string_view FailureName(Failure reason);

void CountFailure(Failure reason, uint64_t times = 1);

// Since the process began.
uint64_t FailureCount(Failure reason);

}  // namespace fileward

#endif  // FILEWARD_BASE_FAILURE_H_
