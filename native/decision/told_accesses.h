// What was said of a process and a file already, so that a million reads of a file are not a
// million records more than its open. Owned by the decision thread; bounded: what it forgets is
// said again.
#ifndef FILEWARD_DECISION_TOLD_ACCESSES_H_
#define FILEWARD_DECISION_TOLD_ACCESSES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "native/base/file_identity.h"
#include "native/decision/evaluate.h"

namespace fileward {

class ToldAccesses {
 public:
  struct Key {
    FileIdentity file;
    int32_t tgid = 0;
    bool operator==(const Key&) const = default;
  };
  // A process that runs something else, and a policy that says something else, are told anew.
  struct Judged {
    FileIdentity exe;
    uint64_t ruleset_version = 0;
    uint32_t rule_index = kNoRule;
    Outcome outcome = Outcome::kNotCovered;
    bool operator==(const Judged&) const = default;
  };

  // True: the same was told of this operation before.
  bool HasTold(const Key& key, const Judged& judged, Operation operation) const {
    const auto found = entries_.find(key);
    return found != entries_.end() && found->second.told[Index(operation)] == judged;
  }
  void Tell(const Key& key, const Judged& judged, Operations operations) {
    Entry& entry = At(key);
    for (const Operation operation : kOperations) {
      if (operations.Has(operation)) entry.told[Index(operation)] = judged;
    }
  }

  // The same for coverage, which keeps the latest judged write of a process and file.
  bool HasToldWrite(const Key& key, const Judged& judged) const {
    const auto found = entries_.find(key);
    return found != entries_.end() && found->second.write == judged;
  }
  void TellWrite(const Key& key, const Judged& judged) { At(key).write = judged; }

  // It was answered otherwise than it was judged.
  void Forget(const Key& key) { entries_.erase(key); }

 private:
  static constexpr size_t kMost = 4096;
  struct Entry {
    std::array<Judged, 4> told;  // by operation; what is told has an outcome
    Judged write;
  };
  static size_t Index(Operation operation) { return static_cast<size_t>(operation); }
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return std::hash<FileIdentity>{}(key.file) ^
             (static_cast<size_t>(key.tgid) * 0x9e3779b97f4a7c15U);
    }
  };
  Entry& At(const Key& key) {
    if (entries_.size() >= kMost && !entries_.contains(key)) entries_.clear();
    return entries_[key];
  }

  std::unordered_map<Key, Entry, KeyHash> entries_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_TOLD_ACCESSES_H_
