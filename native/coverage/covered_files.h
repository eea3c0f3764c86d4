// The covered files and how each looked after its last change that was told, as bytes for
// JavaScript: the only definition of that layout. src/native checks these numbers when it loads the
// addon. Little endian; behind the header one entry for each file, in the order of their paths'
// bytes, each followed by its path.
#ifndef FILEWARD_COVERAGE_COVERED_FILES_H_
#define FILEWARD_COVERAGE_COVERED_FILES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "native/coverage/file_status.h"

namespace fileward {

struct CoveredFilesHeader {
  uint64_t ruleset_version = 0;
  uint32_t count = 0;
  uint32_t left_out = 0;  // beyond kMaxCoveredFiles
  uint32_t full = 0;      // 1: every covered file; 0: those that changed since the last time
  uint32_t reserved = 0;
};
static_assert(sizeof(CoveredFilesHeader) == 24);

struct CoveredFileEntry {
  // These say how the file is; src/records keeps and compares them as they are.
  uint64_t ino = 0;
  uint64_t birth_ns = 0;
  uint64_t size = 0;
  uint64_t mtime_ns = 0;
  uint64_t ctime_ns = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t rule_index = 0;  // of the rule that decides about its changes
  uint64_t dev = 0;         // may be another one after a reboot
  uint32_t path_bytes = 0;
  uint32_t gone = 0;  // 1: nothing covered stands there any more
};
static_assert(sizeof(CoveredFileEntry) == 72 && alignof(CoveredFileEntry) == 8);
static_assert(offsetof(CoveredFileEntry, rule_index) == 52);

// Measured with paths of 60 bytes: 135 bytes each here, 190 in the database.
inline constexpr size_t kMaxCoveredFiles = 500'000;

// Collects entries in any order. Several may have one path: in an atomically written volume the
// link that programs open and the file behind it are both covered by the name of the link. Not
// thread-safe; may be moved to another thread for Encode.
class CoveredFiles {
 public:
  CoveredFiles() = default;
  CoveredFiles(uint64_t ruleset_version, bool full) {
    header_.ruleset_version = ruleset_version;
    header_.full = full ? 1 : 0;
  }

  void Add(std::string_view path, const FileStatus& status, uint32_t rule_index);
  void AddGone(std::string_view path);

  // Sorts: n log n comparisons of paths. Of entries with one path it keeps a regular file if there
  // is one, always the same.
  std::vector<std::byte> Encode();

 private:
  void Append(CoveredFileEntry entry, std::string_view path);

  CoveredFilesHeader header_;
  std::vector<std::byte> bytes_;
  std::vector<size_t> offsets_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_COVERED_FILES_H_
