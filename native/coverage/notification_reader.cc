#include "native/coverage/notification_reader.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/base/thread_priority.h"

namespace fileward {
namespace {

// Some 300 bytes each: 20 MB at the very worst, several seconds of a busy package manager.
constexpr size_t kQueueCapacity = 65'536;

// Read but not looked into yet; each may hold a pidfd. More stay with the kernel, which tells when
// it loses some.
constexpr size_t kMostRaw = 4096;

// A flood is no reason to keep others from a CPU: beyond so many events without sleep the reader
// takes its turn like everybody.
constexpr size_t kUrgentEvents = 256;

constexpr uint64_t kLastEventsNs = 500'000'000;

constexpr uint64_t kNames = FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_MOVED_FROM | FAN_MOVED_TO;
constexpr uint64_t kOpens = FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_NOWRITE;

// Directories that are opened or listed say nothing, and neither do the agent's own opens: a walk
// makes many.
bool Matters(uint64_t mask, bool own) {
  if ((mask & FAN_ONDIR) != 0) return (mask & kNames) != 0;
  return !own || (mask & ~kOpens) != 0;
}

void Signal(const UniqueFd& event_fd) {
  const uint64_t one = 1;
  (void)!write(event_fd.get(), &one, sizeof(one));
}

}  // namespace

NotificationReader::NotificationReader(NotificationGroup& group, const ProcessTable& processes,
                                       std::function<void(const Error&)> on_fatal)
    : group_(group),
      processes_(processes),
      on_fatal_(std::move(on_fatal)),
      own_pid_(getpid()),
      queue_(kQueueCapacity),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      ready_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

NotificationReader::~NotificationReader() { Stop(); }

void NotificationReader::Start() {
  thread_ = std::thread([this] { Run(); });
}

void NotificationReader::Stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  Signal(wake_);
  thread_.join();
}

void NotificationReader::Run() {
  pthread_setname_np(pthread_self(), "fw-reader");
  pollfd polled[] = {{group_.fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  // Reads before it first sleeps: only a queue that was seen empty gives the window a beginning.
  while (!stopping_.load(std::memory_order_acquire)) {
    // The sooner an event is read, the less its process can have become another meanwhile.
    UseRealTime(SCHED_RR, 1);
    if (!ReadAll()) return;
    size_t handed_on = 0;
    while (!raw_.empty() && !stopping_.load(std::memory_order_acquire)) {
      HandOnFirst();
      if (++handed_on == kUrgentEvents) UseOrdinaryPriority();
      // What comes meanwhile is read at once: the later, the less can be said of who did it.
      if (!ReadAll()) return;
    }
    window_.BeforePoll();
    poll(polled, 2, -1);
    window_.AfterPoll();
  }
  // What happened before the end is told too, as far as a moment allows.
  uint64_t deadline_ns = MonotonicNs() + kLastEventsNs;
  if (!ReadAll()) return;
  while (!raw_.empty() && MonotonicNs() < deadline_ns) HandOnFirst();
  // What the kernel has besides is counted, so that it can be told as lost.
  deadline_ns = MonotonicNs() + kLastEventsNs;
  while (ReadAll() && !raw_.empty() && MonotonicNs() < deadline_ns) raw_.clear();
}

bool NotificationReader::ReadAll() {
  while (raw_.size() < kMostRaw) {
    events_.clear();
    window_.BeforeRead();
    const auto read = group_.Read(events_);
    if (!read.ok()) {
      if (on_fatal_) on_fatal_(read.error());
      return false;
    }
    window_.AfterRead(*read == 0);
    if (*read == 0) return true;
    const uint64_t now_ns = RealtimeNs();
    for (NotificationEvent& event : events_) {
      const bool own = event.pid == own_pid_;
      if (!event.overflow && !Matters(event.mask, own)) continue;
      read_count_.fetch_add(1, std::memory_order_relaxed);
      raw_.push_back({std::move(event), now_ns, window_.lower_bound_ns(), window_.read_ns(), own});
    }
  }
  return true;
}

void NotificationReader::HandOnFirst() {
  Raw raw = std::move(raw_.front());
  raw_.pop_front();
  Noted noted;
  noted.time_ns = raw.time_ns;
  noted.read_ns = raw.read_ns;
  noted.own = raw.own;
  if (!raw.own && !raw.event.overflow) {
    if (last_actor_ == nullptr || last_pid_ != raw.event.pid || last_read_ns_ != raw.read_ns) {
      last_actor_ = std::make_shared<const Actor>(ResolveActor(
          processes_, raw.event.pid, raw.event.pidfd.get(), raw.lower_bound_ns, raw.read_ns));
      last_pid_ = raw.event.pid;
      last_read_ns_ = raw.read_ns;
    }
    noted.actor = last_actor_;
  }
  raw.event.pidfd.reset();
  noted.event = std::move(raw.event);
  if (queue_.TryPush(noted)) {
    Signal(ready_);
    return;
  }
  CountFailure(Failure::kCoverageQueueFull);
  uint64_t none = 0;
  lost_since_ns_.compare_exchange_strong(none, raw.time_ns, std::memory_order_acq_rel);
  Signal(ready_);
}

}  // namespace fileward
