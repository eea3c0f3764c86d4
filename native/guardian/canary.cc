#include "native/guardian/canary.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "native/base/clock.h"
#include "native/base/thread_priority.h"

namespace fileward {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kIntervalNs = 2 * kSecondNs;
constexpr uint64_t kSilenceNs = kSecondNs;
// A shorter deadline is too short for a proof: the child too has to come to a CPU.
constexpr uint64_t kShortestNs = 50'000'000;
constexpr uint64_t kFirstHoldNs = 5 * kSecondNs;
constexpr uint64_t kLongestHoldNs = 60 * kSecondNs;

}  // namespace

Canary::Canary(VerdictJournal::Canary& journal, const std::string& file)
    : journal_(journal), file_(file), again_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!file_.empty()) Start();
}

void Canary::Start() {
  // What an earlier one began nobody will end.
  journal_.began_ns.store(journal_.ended_ns.load());
  Skip();
  const int32_t guardian = ::getpid();
  const int32_t child = ::fork();
  if (child != 0) {
    pid_ = std::max(child, 0);
    return;
  }
  const auto again = static_cast<unsigned>(again_.get());
  ::close_range(0, again - 1, 0);
  ::close_range(again + 1, ~0U, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "fw-canary");
  if (::getppid() != guardian) ::_exit(0);
  Sing();
}

void Canary::Stop() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void Canary::Sing() {
  // Else a busy machine would make it late, not the agent.
  UseRealTime(SCHED_RR, 1);
  for (;;) {
    OpenOnce();
    pollfd again{again_.get(), POLLIN, 0};
    ::poll(&again, 1, static_cast<int>(kIntervalNs / 1'000'000));
    uint64_t times = 0;
    [[maybe_unused]] const ssize_t taken = ::read(again_.get(), &times, sizeof(times));
  }
}

void Canary::OpenOnce() {
  const uint64_t began = MonotonicNs();
  journal_.began_ns.store(began);
  // Refused is answered too.
  const UniqueFd file(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  const uint64_t ended = MonotonicNs();
  journal_.latency.Record(ended - began);
  journal_.ended_ns.store(ended);
}

Canary::Word Canary::Look(uint64_t now_ns, uint64_t deadline_ns, bool stands_in) {
  if (file_.empty()) return Word::kNone;
  if (now_ns - looked_ns_ >= kSecondNs) {
    looked_ns_ = now_ns;
    if (pid_ == 0 || ::waitpid(pid_, nullptr, WNOHANG) != 0) Start();
  }
  if (hold_until_ns_ != 0) {
    if (now_ns < hold_until_ns_) return Word::kNone;
    hold_until_ns_ = 0;
    // One more miss is enough now.
    misses_ = 1;
    Skip();
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(again_.get(), &one, sizeof(one));
    return Word::kTryAgain;
  }
  if (stands_in) Skip();
  if (!HasMissed(now_ns, deadline_ns) || ++misses_ < 2) return Word::kNone;
  hold_ns_ = hold_ns_ == 0 ? kFirstHoldNs : std::min(2 * hold_ns_, kLongestHoldNs);
  hold_until_ns_ = now_ns + hold_ns_;
  return Word::kStandIn;
}

// Says nothing about the open that is under way.
void Canary::Skip() {
  judged_ns_ = journal_.began_ns.load();
  judged_took_ns_ = UINT64_MAX - kIntervalNs;
}

// Counts each open once, as soon as it is known to be late or in time; one that isn't answered at
// all as often as there would have been opens meanwhile.
bool Canary::HasMissed(uint64_t now_ns, uint64_t deadline_ns) {
  const uint64_t began = journal_.began_ns.load();
  const bool waits = journal_.ended_ns.load() < began;
  const uint64_t until = waits ? now_ns : journal_.ended_ns.load();
  const uint64_t took_ns = until - std::min(began, until);
  if (began == judged_ns_ && !(waits && took_ns >= judged_took_ns_ + kIntervalNs)) return false;
  const bool missed = took_ns >= std::clamp(deadline_ns, kShortestNs, kSilenceNs);
  if (waits && !missed) return false;
  judged_ns_ = began;
  judged_took_ns_ = took_ns;
  if (missed) {
    journal_.misses.fetch_add(1);
  } else {
    misses_ = 0;
    hold_ns_ = 0;
  }
  return missed;
}

}  // namespace fileward
