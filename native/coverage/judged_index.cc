#include "native/coverage/judged_index.h"

namespace fileward {

void JudgedIndex::TakeAll() {
  if (queue_ == nullptr) return;
  while (auto open = queue_->TryPop()) {
    if (open->outcome == Outcome::kDenied) continue;
    opens_[{open->identity, open->tgid}] = *open;
  }
}

std::optional<JudgedOpen> JudgedIndex::Find(const FileIdentity& identity, int32_t tgid) {
  TakeAll();
  const auto found = opens_.find({identity, tgid});
  return found == opens_.end() ? std::nullopt : std::optional(found->second);
}

void JudgedIndex::Prune() {
  TakeAll();
  std::erase_if(opens_, [&](const auto& entry) {
    const auto process = processes_.Find(entry.first.tgid);
    return !process;  // exited ones stay in the table for as long as their events may be on the way
  });
}

}  // namespace fileward
