// The reader thread: takes events off the notification group as soon as they come, finds out who
// acted while that can still be known, and hands both on.
//
// Owns its thread, an eventfd to wake it, and the queue's producing end. It must not open or look
// at files (a look at a covered file belongs to the coverage thread): it reads the group and /proc
// only. Hands `Noted` to the coverage thread through a bounded queue and wakes it by an eventfd;
// what doesn't fit is counted (coverage_queue_full), and the coverage thread is told that
// everything since then may be missing.
#ifndef FILEWARD_COVERAGE_NOTIFICATION_READER_H_
#define FILEWARD_COVERAGE_NOTIFICATION_READER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/event/spsc_queue.h"
#include "native/kernel/fanotify_group.h"
#include "native/process/actor.h"
#include "native/process/process_table.h"

namespace fileward {

struct Noted {
  NotificationEvent event;  // its pidfd is closed already
  // Shared by the events of one process in one read; null for the agent's own.
  std::shared_ptr<const Actor> actor;
  uint64_t time_ns = 0;  // CLOCK_REALTIME of the read
  uint64_t read_ns = 0;  // CLOCK_MONOTONIC of the read
  bool own = false;
};

class NotificationReader {
 public:
  // `on_fatal` is called once on the reader thread, which ends.
  NotificationReader(NotificationGroup& group, const ProcessTable& processes,
                     std::function<void(const Error&)> on_fatal);
  ~NotificationReader();
  NotificationReader(const NotificationReader&) = delete;
  NotificationReader& operator=(const NotificationReader&) = delete;

  void Start();
  void Stop();

  // Coverage thread: readable when there is something to take.
  int ready_fd() const { return ready_.get(); }
  std::optional<Noted> Take() { return queue_.TryPop(); }
  // Events read that could matter, since it began. Any thread.
  uint64_t read_count() const { return read_count_.load(std::memory_order_relaxed); }
  // CLOCK_REALTIME since when events were left out because the queue was full; 0: none. Starts
  // over.
  uint64_t TakeLostSince() { return lost_since_ns_.exchange(0, std::memory_order_acq_rel); }

 private:
  // As read, with the time in which it happened; its actor isn't looked for yet.
  struct Raw {
    NotificationEvent event;
    uint64_t time_ns;
    uint64_t lower_bound_ns;
    uint64_t read_ns;
    bool own;
  };
  void Run();
  // False: the group can't be read any more.
  bool ReadAll();
  void HandOnFirst();

  NotificationGroup& group_;
  const ProcessTable& processes_;
  const std::function<void(const Error&)> on_fatal_;
  const int32_t own_pid_;
  SpscQueue<Noted> queue_;
  UniqueFd wake_;
  UniqueFd ready_;
  // The reader thread's own.
  EventWindow window_;
  std::vector<NotificationEvent> events_;
  std::deque<Raw> raw_;
  std::shared_ptr<const Actor> last_actor_;
  int32_t last_pid_ = 0;
  uint64_t last_read_ns_ = 0;
  // Written by the reader, read by read_count().
  std::atomic<uint64_t> read_count_{0};
  // Set by Stop, read by the thread after each wake-up.
  std::atomic<bool> stopping_{false};
  // Set by the reader, exchanged by TakeLostSince.
  std::atomic<uint64_t> lost_since_ns_{0};
  std::thread thread_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_NOTIFICATION_READER_H_
