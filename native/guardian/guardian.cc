#include "native/guardian/guardian.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "native/base/clock.h"
#include "native/guardian/own_cgroup.h"
#include "native/guardian/successor_socket.h"

namespace fileward {
namespace {

// The watchdog is first.
constexpr uint64_t kMarginNs = 5'000'000;
constexpr uint64_t kShortestTickNs = 5'000'000;
constexpr uint64_t kLongestTickNs = 20'000'000;

}  // namespace

Guardian::Guardian(Handover handover, JournalMemory journal, Paths paths)
    : journal_(std::move(journal)),
      group_(PermissionGroup::Adopt(std::move(handover.group))),
      agent_(std::move(handover.agent), handover.agent_pid),
      wake_(std::move(handover.wake)),
      paths_(std::move(paths)),
      unjudged_(*journal_, [this](int32_t tid) { return agent_.MayPass(tid); }),
      slots_(*journal_, group_, OpenSlot::Stand::kGuardian, unjudged_,
             [this](int fd) { return agent_.FileOf(fd); }),
      queue_(*journal_, group_, agent_, unjudged_),
      canary_(journal_->canary, paths_.canary) {
  group_.UseBuffer(journal_->guardian_buffer);
}

void Guardian::Run() {
  // A guardian before this one did, and has ended.
  if (StandsIn()) StandBack(MonotonicNs());
  while (!agent_.HasEnded()) {
    const uint64_t now = MonotonicNs();
    journal_->heartbeat_ns.store(now);
    Watch(now);
    LookAtCanary(now);
    Sleep(now);
  }
  Outlive();
}

void Guardian::Watch(uint64_t now_ns) {
  const uint64_t patience = journal_->deadline_ns.load() + kMarginNs;
  const std::optional<uint64_t> next = slots_.Answer(patience);
  journal_->late.fetch_add(slots_.answered());
  next_slot_ns_ = next ? now_ns + *next : UINT64_MAX;
  queue_.AnswerLostTurn(now_ns, patience);
  queue_.Sample(now_ns);
  AnswerQueue(now_ns);
}

void Guardian::AnswerQueue(uint64_t now_ns) {
  const uint64_t deadline = journal_->deadline_ns.load();
  const uint64_t turns = journal_->turn.Look().turns;
  const size_t overdue = queue_.Overdue(now_ns, deadline);
  if (std::exchange(seen_turns_, turns) != turns) {
    seen_turns_ns_ = now_ns;
    if (journal_->present.reason.load() == Reason::kNotReading) StandBack(now_ns);
  } else if (overdue > 0 && now_ns - seen_turns_ns_ >= deadline && !StandsIn()) {
    StandIn(Reason::kNotReading, now_ns);
  }
  if (StandsIn()) {
    queue_.Answer(SIZE_MAX);
    WakeAgent();
  } else if (overdue > 0) {
    queue_.Answer(overdue);
  }
}

void Guardian::LookAtCanary(uint64_t now_ns) {
  const uint64_t patience = journal_->deadline_ns.load();
  switch (canary_.Look(now_ns, patience, StandsIn())) {
    case Canary::Word::kStandIn:
      journal_->hold_off.store(true);
      StandIn(Reason::kCanary, now_ns);
      break;
    case Canary::Word::kTryAgain:
      journal_->hold_off.store(false);
      StandBack(now_ns);
      WakeAgent();
      break;
    case Canary::Word::kNone:
      break;
  }
}

void Guardian::Sleep(uint64_t now_ns) {
  const uint64_t deadline = journal_->deadline_ns.load();
  const uint64_t tick = std::clamp(deadline / 5, kShortestTickNs, kLongestTickNs);
  const uint64_t due = std::min({now_ns + tick, next_slot_ns_, queue_.NextDueNs(deadline)});
  const uint64_t now = MonotonicNs();
  timespec timeout{};
  timeout.tv_nsec = static_cast<long>(due - std::min(now, due));
  pollfd fds[] = {{agent_.pidfd(), POLLIN, 0}, {group_.fd(), POLLIN, 0}};
  // The group only where what comes is answered at once: else it would wake us for every open.
  ::ppoll(fds, StandsIn() ? 2 : 1, &timeout, nullptr);
}

void Guardian::StandIn(Reason reason, uint64_t now_ns) {
  if (StandsIn()) StandBack(now_ns);
  VerdictJournal::Episode& present = journal_->present;
  present.answered.allowed.store(0);
  present.answered.denied.store(0);
  present.from_ns.store(now_ns);
  present.reason.store(reason);
}

void Guardian::StandBack(uint64_t now_ns) {
  VerdictJournal::Episode& present = journal_->present;
  const uint64_t count = journal_->episode_count.load();
  VerdictJournal::Episode& ended = journal_->episodes[count % VerdictJournal::kEpisodes];
  ended.reason.store(present.reason.load());
  ended.from_ns.store(present.from_ns.load());
  ended.to_ns.store(now_ns);
  ended.answered.allowed.store(present.answered.allowed.load());
  ended.answered.denied.store(present.answered.denied.load());
  journal_->episode_count.store(count + 1);
  present.reason.store(Reason::kNone);
}

void Guardian::WakeAgent() const {
  const uint64_t one = 1;
  // Full: it has been woken and hasn't looked.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void Guardian::Outlive() {
  canary_.Stop();
  const VerdictJournal::Answers& unjudged = journal_->unjudged;
  const uint64_t allowed = unjudged.allowed.load();
  const uint64_t denied = unjudged.denied.load();
  slots_.Answer(0);
  queue_.AnswerLostTurn(MonotonicNs(), 0);
  if (journal_->keep.load()) {
    SuccessorSocket successor(paths_.socket, agent_.pid());
    pollfd fds[] = {{group_.fd(), POLLIN, 0}, {successor.fd(), POLLIN, 0}};
    do {
      queue_.Answer(SIZE_MAX);
      ::poll(fds, 2, -1);
    } while (
        !successor.SaysEnd(unjudged.allowed.load() - allowed, unjudged.denied.load() - denied));
  }
  group_ = PermissionGroup::Adopt(UniqueFd());
  LeaveOwnCgroups();
}

}  // namespace fileward
