// The opens for write that the decision thread judged, by file and process: a change by such a
// process has that app and that verdict. Owned by the coverage thread.
#ifndef FILEWARD_COVERAGE_JUDGED_INDEX_H_
#define FILEWARD_COVERAGE_JUDGED_INDEX_H_

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "native/base/file_identity.h"
#include "native/decision/object_table.h"
#include "native/process/process_table.h"

namespace fileward {

class JudgedIndex {
 public:
  JudgedIndex(JudgedOpens* queue, const ProcessTable& processes)
      : queue_(queue), processes_(processes) {}

  // The allowed judged open of this file by this process, the latest one.
  std::optional<JudgedOpen> Find(const FileIdentity& identity, int32_t tgid);
  // Drops what processes that have ended left.
  void Prune();

 private:
  struct Key {
    FileIdentity identity;
    int32_t tgid;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return std::hash<FileIdentity>{}(key.identity) ^
             (static_cast<size_t>(key.tgid) * 0x9e3779b97f4a7c15U);
    }
  };
  void TakeAll();

  JudgedOpens* const queue_;
  const ProcessTable& processes_;
  std::unordered_map<Key, JudgedOpen, KeyHash> opens_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_JUDGED_INDEX_H_
