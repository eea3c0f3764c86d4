#include "native/decision/open_queue.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "native/base/clock.h"
#include "native/base/failure.h"

namespace fileward {
namespace {

// Of deciding, until what is decided is answered: the first opener of a batch isn't held by the
// last.
constexpr uint64_t kSliceNs = 300'000;
constexpr uint64_t kFirstBackoffNs = 20'000;
constexpr uint64_t kLongestBackoffNs = 4'000'000;
// Every answer wakes every waiting opener of the group, and one that was woken can't be looked at
// until it has had a CPU and is parked again. Where that has kept one from being decided for
// kStarvingNs, nobody is answered for at most kHoldNs.
constexpr uint64_t kStarvingNs = 10'000'000;
constexpr uint64_t kHoldNs = 30'000'000;
constexpr uint64_t kIgnoreMask = FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM;

// Each event holds an fd, and the kernel denies an open for which we have none left.
size_t MaxOpen() {
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  // A read may give one more than was asked for.
  return std::min(VerdictJournal::kSlots - 1,
                  known ? static_cast<size_t>(limit.rlim_cur) / 2 : 512);
}

}  // namespace

OpenQueue::OpenQueue(PermissionGroup& group, OpenJudge& judge, OpenPublisher& publisher,
                     Watchdog& watchdog)
    : group_(group),
      judge_(judge),
      publisher_(publisher),
      watchdog_(watchdog),
      max_open_(MaxOpen()) {
  open_.reserve(max_open_);
  decided_.reserve(max_open_);
  responses_.reserve(max_open_);
}

size_t OpenQueue::room() const {
  return max_open_ - std::min(max_open_, open_.size() + decided_.size());
}

uint64_t OpenQueue::NextDueNs() const {
  uint64_t due = decided_.empty() ? UINT64_MAX : hold_until_ns_;
  for (const PendingOpen& open : open_) due = std::min(due, open.next_look_ns);
  return due;
}

void OpenQueue::Enter(PermissionEvent event, uint64_t since_ns, uint64_t read_ns,
                      uint64_t read_real_ns) {
  PendingOpen& open = open_.emplace_back();
  open.slot = watchdog_.Enter({event.raw_fd, event.tid, event.mask, since_ns});
  open.event = std::move(event);
  open.since_ns = since_ns;
  open.read_ns = read_ns;
  open.read_real_ns = read_real_ns;
  open.next_look_ns = read_ns;
}

void OpenQueue::DropAnswered(size_t latest, size_t answered) {
  const auto first = open_.end() - static_cast<ptrdiff_t>(latest);
  const auto end = first + static_cast<ptrdiff_t>(answered);
  for (auto open = first; open != end; ++open) watchdog_.Leave(open->slot);
  open_.erase(first, end);
}

void OpenQueue::Work() {
  uint64_t slice_began = MonotonicNs();
  uint64_t now = slice_began;
  for (PendingOpen& open : open_) {
    if (open.next_look_ns > now) continue;
    if (Decide(open, now)) {
      watchdog_.SetVerdict(open.slot, open.Allows());
      if (decided_.empty()) hold_until_ns_ = now + kHoldNs;
      hold_until_ns_ = std::min(hold_until_ns_, open.since_ns + deadline_ns_ / 2);
      decided_.push_back(std::move(open));
    } else {
      open.backoff_ns = std::clamp(open.backoff_ns * 2, kFirstBackoffNs, kLongestBackoffNs);
      open.next_look_ns = now + open.backoff_ns;
    }
    now = MonotonicNs();
    if (now - slice_began > kSliceNs && !MustHold(now)) {
      Answer();
      slice_began = now = MonotonicNs();
    }
  }
  if (!MustHold(now)) Answer();
  // What was moved to decided_ has no fd any more.
  std::erase_if(open_, [](const PendingOpen& open) { return !open.event.fd; });
}

// True when it is decided, or answered by the watchdog.
bool OpenQueue::Decide(PendingOpen& open, uint64_t now_ns) {
  if (const auto allowed = watchdog_.Answered(open.slot)) {
    if (open.IsRunning()) CountFailure(Failure::kIntentTimeout);
    judge_.Overtaken(open, *allowed);
    return true;
  }
  const bool last_look = now_ns - open.since_ns > deadline_ns_ / 2;
  judge_.Look(open, watchdog_, last_look);
  return open.state != PendingOpen::State::kUndecided;
}

bool OpenQueue::MustHold(uint64_t now_ns) const {
  if (now_ns >= hold_until_ns_) return false;
  return std::any_of(open_.begin(), open_.end(), [&](const PendingOpen& open) {
    return open.event.fd && open.IsRunning() && now_ns - open.read_ns > kStarvingNs;
  });
}

void OpenQueue::Answer() {
  if (decided_.empty()) return;
  responses_.clear();
  for (PendingOpen& open : decided_) {
    open.answered = watchdog_.Claim(open.slot, open.Allows());
    if (!open.answered) continue;
    if (open.judged_write) publisher_.TellCoverage(open);
    responses_.push_back({open.event.raw_fd, open.Allows()});
  }
  if (!responses_.empty()) group_.Answer(responses_);
  const uint64_t now = MonotonicNs();
  for (PendingOpen& open : decided_) {
    if (!open.answered) AwaitWatchdog(open);
    Finish(open, now);
  }
  decided_.clear();
}

// The watchdog was first, maybe only just now: its answer is being written.
void OpenQueue::AwaitWatchdog(PendingOpen& open) {
  std::optional<bool> allowed = watchdog_.Answered(open.slot);
  while (!allowed) {
    // Not a spin: on one CPU the watchdog would never get to write it.
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    allowed = watchdog_.Answered(open.slot);
  }
  judge_.Overtaken(open, *allowed);
  if (open.judged_write) publisher_.TellCoverage(open);
}

// After the answer: nobody waits any more.
void OpenQueue::Finish(PendingOpen& open, uint64_t answered_ns) {
  publisher_.Publish(open, answered_ns - open.read_ns);
  if (open.state == PendingOpen::State::kNotCovered && open.may_ignore) {
    const std::string path = "/proc/self/fd/" + std::to_string(open.event.raw_fd);
    // Refused where somebody maps it for writing, or the kernel has no such mark: it asks again.
    // Each of its own: not every filesystem knows both.
    const uint64_t mask = open.IsAccess() ? FAN_PRE_ACCESS : kIgnoreMask;
    [[maybe_unused]] const auto ignored = group_.IgnoreFile(AT_FDCWD, path.c_str(), mask);
  }
  watchdog_.Leave(open.slot);
  open.event.fd.reset();
}

void OpenQueue::AllowAll() {
  for (PendingOpen& open : open_) {
    open.state = PendingOpen::State::kNotCovered;
    open.decision = Decision{};
    decided_.push_back(std::move(open));
  }
  open_.clear();
  Answer();
}

}  // namespace fileward
