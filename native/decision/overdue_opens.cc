#include "native/decision/overdue_opens.h"

#include <algorithm>
#include <utility>

#include "native/base/clock.h"

namespace fileward {

OverdueOpens::OverdueOpens(VerdictJournal& journal, PermissionGroup& group, OpenSlot::Stand stand,
                           UnjudgedOpens& unjudged, FileOf file_of)
    : journal_(journal),
      group_(group),
      stand_(stand),
      unjudged_(unjudged),
      file_of_(std::move(file_of)) {
  taken_.reserve(VerdictJournal::kSlots);
  responses_.reserve(VerdictJournal::kSlots);
}

std::optional<uint64_t> OverdueOpens::Answer(uint64_t patience_ns) {
  const uint64_t now = MonotonicNs();
  const uint32_t used = journal_.slots_used.load();
  std::optional<uint64_t> next;
  taken_.clear();
  responses_.clear();
  for (uint32_t i = 0; i < used; ++i) {
    OpenSlot& slot = journal_.slots[i];
    if (!slot.IsOpenTo(stand_)) continue;
    const uint64_t age = now - std::min(now, slot.since_ns());
    if (age < patience_ns) {
      next = std::min(next.value_or(patience_ns), patience_ns - age);
      continue;
    }
    const std::optional<OpenSlot::Taken> taken = slot.Take(stand_);
    if (!taken) continue;
    const OpenSlot::Event& event = taken->event;
    const bool allow = taken->allow.has_value()
                           ? *taken->allow
                           : unjudged_.Allows(file_of_(event.fd), event.tid, event.mask);
    responses_.push_back({event.fd, allow});
    taken_.push_back(&slot);
  }
  if (!responses_.empty()) group_.Answer(responses_);
  for (size_t i = 0; i < taken_.size(); ++i) taken_[i]->Done(stand_, responses_[i].allow);
  return next;
}

}  // namespace fileward
