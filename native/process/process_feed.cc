#include "native/process/process_feed.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/base/thread_priority.h"

namespace fileward {

Result<std::unique_ptr<ProcessFeed>> ProcessFeed::Start(ProcessTable& table) {
  Result<ProcConnector> connector = ProcConnector::Open();
  if (!connector) return connector.error();
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ErrnoError("eventfd");
  // Messages queue up from here on, so nothing falls between the scan and the thread.
  table.Scan(false);
  std::unique_ptr<ProcessFeed> feed(new ProcessFeed(table, *std::move(connector), std::move(wake)));
  feed->Drain();
  table.SetFeed(feed->wake_.get());
  feed->thread_ = std::thread([raw = feed.get()] { raw->Run(); });
  return feed;
}

ProcessFeed::ProcessFeed(ProcessTable& table, ProcConnector connector, UniqueFd wake)
    : table_(table), connector_(std::move(connector)), wake_(std::move(wake)) {}

ProcessFeed::~ProcessFeed() {
  table_.SetFeed(-1);
  stop_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  if (thread_.joinable()) {
    (void)!::write(wake_.get(), &one, sizeof(one));
    thread_.join();
  }
}

void ProcessFeed::Run() {
  // Verdicts and actors wait for the feed, and a short-lived process has to be looked at before it
  // is gone.
  UseRealTime(SCHED_FIFO, 1);
  (void)::pthread_setname_np(::pthread_self(), "fw-processes");
  while (!stop_.load(std::memory_order_acquire)) {
    std::array<pollfd, 2> ready = {{{connector_.fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;
    uint64_t wakes = 0;
    (void)!::read(wake_.get(), &wakes, sizeof(wakes));
    Drain();
  }
}

void ProcessFeed::Drain() {
  while (!stop_.load(std::memory_order_relaxed)) {
    events_.clear();
    const uint64_t began_ns = MonotonicNs();
    const Result<ProcConnector::Batch> batch = connector_.Receive(events_);
    if (!batch) {
      CountFailure(Failure::kEventReadFailed);
      return;
    }
    for (const ProcEvent& event : events_) table_.Apply(event);
    if (batch->lost > 0) table_.Scan(true);
    if (batch->drained) {
      // Everything sent before the receive that found nothing is applied.
      table_.SetCurrent(began_ns);
      return;
    }
  }
}

}  // namespace fileward
