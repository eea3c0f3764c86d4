// Watched reads: an open says nothing of what for, its close does. An open that is closed without a
// write was a read; one that stays open for 100 ms is looked up among its process' descriptors.
// Owned by the coverage thread.
#ifndef FILEWARD_COVERAGE_ACCESS_TRACKER_H_
#define FILEWARD_COVERAGE_ACCESS_TRACKER_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "native/coverage/fact_writer.h"

namespace fileward {

class AccessTracker {
 public:
  explicit AccessTracker(FactWriter& facts) : facts_(facts) {}

  void Handle(uint64_t mask, int32_t pid, const std::vector<CoveredBy>& names,
              const std::string& path, const FileStatus& status, const Source& source);
  void Tick(uint64_t now_ns);
  bool waiting() const { return !open_.empty(); }

 private:
  struct Key {
    FileIdentity identity;
    int32_t pid;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return std::hash<FileIdentity>{}(key.identity) ^
             (static_cast<size_t>(key.pid) * 0x9e3779b97f4a7c15U);
    }
  };
  struct Open {
    std::vector<CoveredBy> names;
    std::string path;
    FileStatus status;
    Source source;
    uint64_t due_ns = 0;  // 0: told already, waits for its close
    uint64_t since_ns = 0;
  };
  // Whether a rule watches this operation on these names.
  bool Watched(const std::vector<CoveredBy>& names, Operation operation) const;

  FactWriter& facts_;
  std::unordered_map<Key, Open, KeyHash> open_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_ACCESS_TRACKER_H_
