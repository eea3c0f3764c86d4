// The byte layout of one record on its way from native code to TypeScript: the only definition.
// src/native checks these numbers when it loads the addon. Little endian, 8-aligned; behind the
// header the strings, concatenated without NUL, then padding to a multiple of 8.
#ifndef FILEWARD_EVENT_EVENT_RECORD_H_
#define FILEWARD_EVENT_EVENT_RECORD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "native/base/workload.h"

namespace fileward {

enum class EventKind : uint16_t {
  kOpen = 1,    // judged at the gate
  kAccess = 2,  // a watched open, told by notification
  kChange = 3,  // a raw fact; src/records makes records of these
  kLost = 4,    // `detail` = failure reason, `count` = how many, 0 = not known
  kCoverage = 5,
  kEnforcement = 6,
  kAppReplaced = 7,
};

enum class Operation : uint8_t { kNone = 0, kRead = 1, kWrite = 2, kExec = 3 };

// Ascending strictness: of several judgements of one open the greatest is reported.
enum class Outcome : uint8_t {
  kNotCovered = 0,
  kQuiet = 1,
  kLearned = 2,
  kAccessed = 3,
  kModified = 4,
  kViolated = 5,
  kDenied = 6,
};

enum class Verdict : uint8_t { kNone = 0, kAllow = 1, kDeny = 2 };

enum class Mode : uint8_t { kNone = 0, kDiscover = 1, kMonitor = 2, kProtect = 3 };

enum class Reason : uint8_t {
  kNone = 0,
  kAppNotListed = 1,
  kIdentityMismatch = 2,
  kAncestryUnknown = 3,
  kIntentUnproven = 4,
  kNotEnforceable = 5,
  kDescriptorNotJudged = 6,
  kEmptyFileLeft = 7,
  kProcessGone = 8,
  kProcessChanged = 9,
  kDeadline = 10,
  kFoundOnRescan = 11,
};

enum class Change : uint8_t {
  kNone = 0,
  kCreated = 1,
  kDeleted = 2,
  kRenamed = 3,
  kWritten = 4,
  kClosedWrite = 5,
  kAttributes = 6,
  kLinked = 7,          // a new name for a covered file
  kDirectoryMoved = 8,  // `count` = covered files in it
  kDirectoryDeleted = 9,
  kMade = 10,  // mkdir, mknod, symlink of a covered name: none of them has a gate
};

// What is proven of the process (process/actor.h has the other half of the words).
enum class EventActorState : uint8_t { kUnknown = 0, kKnown = 1, kGone = 2, kChanged = 3 };

// Bits of EventHeader::flags.
struct EventFlag {
  static constexpr uint16_t kListed = 1;
  static constexpr uint16_t kJudged = 2;
  static constexpr uint16_t kReplaced = 4;
  // The judged open may have created the file: O_CREAT, identity not known before, size 0.
  static constexpr uint16_t kCreatFresh = 8;
  static constexpr uint16_t kOwn = 16;
  static constexpr uint16_t kDirectory = 32;
  static constexpr uint16_t kRenameTargetCovered = 64;
  static constexpr uint16_t kUnlinked = 128;
  static constexpr uint16_t kChangesQuiet = 256;
  // Of kAttributes: among what changed are extended attributes.
  static constexpr uint16_t kExtendedAttributes = 512;
};

// The strings behind the header, in this order. kAncestors and kArgs are NUL-joined.
enum class EventString : uint8_t {
  kPath,
  kProtectedPath,
  kNewPath,
  kExe,
  kCgroup,
  kAncestors,
  kArgs,
  kText,
};
inline constexpr size_t kEventStringCount = 8;

// No rule: `rule_index` of records that belong to none.
inline constexpr uint32_t kNoRule = 0xffffffffU;

struct EventHeader {
  uint32_t size_bytes = 0;
  EventKind kind = EventKind::kOpen;
  uint16_t flags = 0;
  uint64_t time_ns = 0;  // CLOCK_REALTIME, when the event was read from the kernel
  uint64_t ruleset_version = 0;
  Operation operation = Operation::kNone;
  Change change = Change::kNone;
  Outcome outcome = Outcome::kNotCovered;
  Verdict verdict = Verdict::kNone;
  Mode mode = Mode::kNone;
  Reason reason = Reason::kNone;
  EventActorState actor_state = EventActorState::kUnknown;
  uint8_t package_manager = 0;  // 0 none, else 1 + index in the ruleset's package_managers
  uint32_t rule_index = kNoRule;
  uint32_t nlink = 0;
  uint64_t dev = 0;
  uint64_t ino = 0;
  uint64_t size = 0;
  uint64_t mtime_ns = 0;
  uint32_t file_mode = 0;
  uint32_t file_uid = 0;
  uint32_t file_gid = 0;
  uint32_t before_known = 0;
  uint64_t before_size = 0;
  uint64_t before_mtime_ns = 0;
  uint32_t before_mode = 0;
  uint32_t before_uid = 0;
  uint32_t before_gid = 0;
  uint32_t detail = 0;  // errno, failure reason index, ...
  int32_t pid = 0;      // thread group
  int32_t tid = 0;
  int32_t ppid = 0;
  uint32_t euid = 0;
  uint32_t ruid = 0;
  uint32_t sequence = 0;          // set by the ring
  uint64_t process_start_ns = 0;  // CLOCK_REALTIME
  uint64_t verdict_duration_ns = 0;
  uint64_t count = 0;
  WorkloadId workload = kHostWorkload;           // of the file: whose rule decided
  WorkloadId actor_workload = kUnknownWorkload;  // of the process
  std::array<uint32_t, kEventStringCount> lengths{};
};

inline constexpr size_t kEventHeaderBytes = 208;
static_assert(sizeof(EventHeader) == kEventHeaderBytes && alignof(EventHeader) == 8);
static_assert(offsetof(EventHeader, kind) == 4 && offsetof(EventHeader, flags) == 6);
static_assert(offsetof(EventHeader, time_ns) == 8);
static_assert(offsetof(EventHeader, ruleset_version) == 16);
static_assert(offsetof(EventHeader, operation) == 24 && offsetof(EventHeader, change) == 25);
static_assert(offsetof(EventHeader, outcome) == 26 && offsetof(EventHeader, verdict) == 27);
static_assert(offsetof(EventHeader, mode) == 28 && offsetof(EventHeader, reason) == 29);
static_assert(offsetof(EventHeader, actor_state) == 30);
static_assert(offsetof(EventHeader, package_manager) == 31);
static_assert(offsetof(EventHeader, rule_index) == 32 && offsetof(EventHeader, nlink) == 36);
static_assert(offsetof(EventHeader, dev) == 40 && offsetof(EventHeader, ino) == 48);
static_assert(offsetof(EventHeader, size) == 56 && offsetof(EventHeader, mtime_ns) == 64);
static_assert(offsetof(EventHeader, file_mode) == 72 && offsetof(EventHeader, file_uid) == 76);
static_assert(offsetof(EventHeader, file_gid) == 80 && offsetof(EventHeader, before_known) == 84);
static_assert(offsetof(EventHeader, before_size) == 88);
static_assert(offsetof(EventHeader, before_mtime_ns) == 96);
static_assert(offsetof(EventHeader, before_mode) == 104);
static_assert(offsetof(EventHeader, before_uid) == 108);
static_assert(offsetof(EventHeader, before_gid) == 112 && offsetof(EventHeader, detail) == 116);
static_assert(offsetof(EventHeader, pid) == 120 && offsetof(EventHeader, tid) == 124);
static_assert(offsetof(EventHeader, ppid) == 128 && offsetof(EventHeader, euid) == 132);
static_assert(offsetof(EventHeader, ruid) == 136 && offsetof(EventHeader, sequence) == 140);
static_assert(offsetof(EventHeader, process_start_ns) == 144);
static_assert(offsetof(EventHeader, verdict_duration_ns) == 152);
static_assert(offsetof(EventHeader, count) == 160 && offsetof(EventHeader, workload) == 168);
static_assert(offsetof(EventHeader, actor_workload) == 172);
static_assert(offsetof(EventHeader, lengths) == 176);

inline constexpr size_t kMaxPathBytes = 4096;
inline constexpr size_t kMaxRecordAncestors = 8;
inline constexpr size_t kMaxAncestorsBytes = kMaxRecordAncestors * (kMaxPathBytes + 1);
inline constexpr size_t kMaxArgsBytes = 4096;
inline constexpr size_t kMaxTextBytes = 4096;
inline constexpr size_t kMaxRecordBytes =
    kEventHeaderBytes + 5 * kMaxPathBytes + kMaxAncestorsBytes + kMaxArgsBytes + kMaxTextBytes + 8;

// Builds one record at a time in a buffer of its own; longer strings are cut at the bounds above.
// Make one per thread and reuse it: nothing is allocated after construction. Not thread-safe.
class RecordWriter {
 public:
  RecordWriter();

  // Starts a new record; everything set before is forgotten.
  EventHeader& Begin(EventKind kind);
  EventHeader& header() { return header_; }

  // In any order; the last call for a string wins. The bytes are copied.
  void Set(EventString string, std::string_view value);
  void SetAncestors(std::span<const std::string> ancestors);

  // The record's bytes, valid until the next Begin().
  std::span<const std::byte> Finish();

 private:
  EventHeader header_;
  std::unique_ptr<std::byte[]> strings_;
  std::unique_ptr<std::byte[]> record_;
};

}  // namespace fileward

#endif  // FILEWARD_EVENT_EVENT_RECORD_H_
