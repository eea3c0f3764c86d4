#include "native/guardian/group_reader.h"

#include <algorithm>

#include "native/kernel/fanotify_events.h"

namespace fileward {
namespace {

constexpr size_t kBatch = 256;

}  // namespace

GroupReader::GroupReader(VerdictJournal& journal, PermissionGroup& group, const AgentProcess& agent,
                         UnjudgedOpens& unjudged)
    : journal_(journal), group_(group), agent_(agent), unjudged_(unjudged) {
  // Of the agent's buffer there may be more.
  batch_.reserve(PermissionGroup::kBufferBytes / FAN_EVENT_METADATA_LEN);
  responses_.reserve(batch_.capacity());
}

void GroupReader::Sample(uint64_t now_ns) {
  // In the middle of a turn what was read isn't counted yet; one that lasts is a stopped agent's.
  for (int look = 0; look < 3; ++look) {
    const ReadTurn::State before = journal_.turn.Look();
    const uint64_t arrived = journal_.events_read.load() + group_.Queued();
    const ReadTurn::State after = journal_.turn.Look();
    const bool lasts = before.turns == seen_turn_ && seen_turn_ns_ != now_ns;
    if (before.turns != after.turns || (before.agent_reads && !lasts)) continue;
    journal_.arrivals.Add(now_ns, arrived);
    return;
  }
}

size_t GroupReader::Overdue(uint64_t now_ns, uint64_t patience_ns) const {
  const uint64_t arrived = journal_.arrivals.ArrivedBy(now_ns - std::min(now_ns, patience_ns));
  const uint64_t read = journal_.events_read.load();
  return arrived - std::min(arrived, read);
}

uint64_t GroupReader::NextDueNs(uint64_t patience_ns) const {
  const uint64_t head_ns = journal_.arrivals.SeenNs(journal_.events_read.load() + 1, 0);
  return head_ns == 0 ? UINT64_MAX : head_ns + patience_ns;
}

void GroupReader::Answer(size_t count) {
  if (!journal_.turn.BeginForAgent()) return;
  // What comes meanwhile is for the next call: openers who never stop must not keep us here.
  count = std::min(count, group_.Queued());
  while (count > 0) {
    group_.ClearBuffer();
    const Result<size_t> read = group_.Read(batch_, std::min(count, kBatch));
    if (!read || *read == 0) break;
    journal_.events_read.fetch_add(*read);
    count -= std::min(count, *read);
    AnswerBatch(false);
  }
  group_.ClearBuffer();
  journal_.turn.EndForAgent();
}

void GroupReader::AnswerLostTurn(uint64_t now_ns, uint64_t patience_ns) {
  const ReadTurn::State turn = journal_.turn.Look();
  if (turn.turns != seen_turn_) {
    seen_turn_ = turn.turns;
    seen_turn_ns_ = now_ns;
  }
  if (!turn.agent_reads) return;
  // One that has just begun is no lost one, however long its first event waited in the queue.
  if (seen_turn_ns_ == now_ns && patience_ns > 0) return;
  const bool has_read = journal_.reading_turn.load() == turn.turns;
  const uint64_t head = journal_.read_before.load() + 1;
  const uint64_t since_ns =
      has_read ? journal_.arrivals.SeenNs(head, seen_turn_ns_) : seen_turn_ns_;
  if (now_ns - std::min(now_ns, since_ns) < patience_ns) return;
  if (!journal_.turn.Overtake(turn.turns)) return;
  if (has_read) ParsePermissionEvents(FilledPart(journal_.agent_buffer), batch_);
  journal_.answered_of_turn.store(batch_.size());
  AnswerBatch(true);
  journal_.turn.EndForAgent();
}

void GroupReader::AnswerBatch(bool agents) {
  size_t denied = 0;
  responses_.clear();
  for (PermissionEvent& event : batch_) {
    if (!event.fd) continue;
    const FileIdentity file = agents ? agent_.FileOf(event.raw_fd) : IdentityOfFd(event.raw_fd);
    const bool allow = unjudged_.Allows(file, event.tid, event.mask);
    if (!allow) ++denied;
    responses_.push_back({event.raw_fd, allow});
  }
  group_.Answer(responses_);
  Count(responses_.size() - denied, denied);
  if (agents) {
    // Numbers of the agent's, not fds of ours.
    for (PermissionEvent& event : batch_) (void)event.fd.release();
  }
  batch_.clear();
}

void GroupReader::Count(size_t allowed, size_t denied) {
  for (VerdictJournal::Answers* const answers : {&journal_.unjudged, &journal_.present.answered}) {
    answers->allowed.fetch_add(allowed);
    answers->denied.fetch_add(denied);
  }
}

}  // namespace fileward
