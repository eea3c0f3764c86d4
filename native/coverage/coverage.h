// Coverage: which files and directories the ruleset in force covers, kept true while the disk
// changes.
//
// Owns two threads. The reader thread drains the notification group N at once and resolves who
// acted; a bounded queue hands what it read to the coverage thread, which owns everything else
// here: the directory table, the marks in both groups, the app files, the moved files. It publishes
// change facts into ring 1 and sends the decision thread messages (ObjectUpdates); nothing is
// shared with the decision thread under a lock, because this thread opens files and an open may
// have to wait for that thread.
//
// Apply, Release and Stop may be called from any one thread; they hand over and return. `on_report`
// is called on the coverage thread.
#ifndef FILEWARD_COVERAGE_COVERAGE_H_
#define FILEWARD_COVERAGE_COVERAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "native/base/file_identity.h"
#include "native/base/result.h"
#include "native/coverage/covered_files.h"

namespace fileward {

class DecisionThread;
class EventRing;
struct KernelFeatures;
class PermissionGroup;
class ProcessTable;
class RuleCounters;

// A block-protected file that an unlisted app moved out of its rule's reach; it stays protected.
struct MovedFile {
  FileIdentity identity;
  uint64_t birth_ns = 0;
  std::string path;            // where it is now
  std::string protected_path;  // the covered name it had
};

// An identity that an app's path named, kept because its replacement was followed or because it
// still runs.
struct FollowedApp {
  std::string pattern;  // the `exe` as the ruleset writes it
  std::string path;     // real path of the file
  FileIdentity identity;
  uint64_t birth_ns = 0;
  bool current = true;  // false: an earlier file of that path that a process still runs
};

struct RuleCoverage {
  struct Resolved {
    std::string pattern;
    std::string base;  // its literal part as written
    std::string real;  // where that leads
  };
  struct Degraded {
    std::string error_type;  // a name of base/failure.h, or `absent` for a required rule
    std::string detail;
  };
  uint32_t rule_index = 0;
  uint64_t files = 0;
  uint64_t directories = 0;
  std::vector<Resolved> resolved;
  std::vector<std::string> absent;
  std::vector<std::string> absent_apps;
  std::vector<Degraded> degraded;
};

struct CoverageReport {
  uint64_t ruleset_version = 0;
  std::string error;  // not empty: the ruleset was refused, the one before stays in force
  uint64_t permission_marks = 0;
  uint64_t notification_marks = 0;
  std::vector<RuleCoverage> rules;
  // To be kept under `state` and passed back in CoverageOptions at the next start.
  std::vector<MovedFile> moved;
  std::vector<FollowedApp> followed_apps;
};

struct CoverageOptions {
  std::vector<MovedFile> moved;
  std::vector<FollowedApp> followed_apps;
  // After each Apply (every mark is placed and the new ruleset decides), and when coverage changed
  // since: at most once a second.
  std::function<void(const CoverageReport&)> on_report;
  // The thread can't go on (the group was lost): a sentence and errno.
  std::function<void(const Error&)> on_fatal;
};

class Coverage {
 public:
  // All references must outlive the object. `ring` is ring 1: this object is its only producer.
  static Result<std::unique_ptr<Coverage>> Start(CoverageOptions options,
                                                 const KernelFeatures& features,
                                                 PermissionGroup& permission_group,
                                                 DecisionThread& decision_thread,
                                                 ProcessTable& process_table, EventRing& ring);
  ~Coverage();
  Coverage(const Coverage&) = delete;
  Coverage& operator=(const Coverage&) = delete;

  // Covers the ruleset (src/policy/ruleset.ts) while the one before still decides, then swaps. It
  // is parsed here, with the literal part of each pattern resolved on disk, and again when a link
  // on the way of one changes; a text that can't be parsed is reported (CoverageReport::error) and
  // changes nothing. A later Apply replaces one not begun.
  void Apply(std::string ruleset_json, uint64_t version);

  // Ends the protection of a moved file by its present or its protected path; false when it is
  // none. Waits for the coverage thread (which may be walking), so not to be called on a thread
  // that mustn't wait.
  bool Release(std::string_view path);

  // All covered files as the last Apply found them when nobody has taken that yet, else those that
  // changed since the last call: their state after the facts in the ring by now, so what is drained
  // afterwards tells every difference. Waits for the coverage thread like Release; after Stop it
  // answers at once. One call at a time.
  CoveredFiles TakeCoveredFiles();

  // Quiet watched reads and execs of the ruleset in force, which give no record (changes always
  // come as facts, quiet or not); to be added to DecisionThread::counters(). nullptr before the
  // first Apply is complete. Any thread.
  std::shared_ptr<const RuleCounters> counters() const;

  struct MarkCounts {
    uint64_t permission = 0;
    uint64_t notification = 0;
  };
  MarkCounts marks() const;

  // Notification events since the start: read from the kernel, and looked into. What was dropped
  // between (coverage_queue_full) or waits there is the difference. Any thread.
  struct EventCounts {
    uint64_t read = 0;
    uint64_t handled = 0;
  };
  EventCounts events() const;

  // Ends both threads. Idempotent; the destructor calls it. The marks end with the groups.
  void Stop();

 private:
  class Impl;
  explicit Coverage(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Resolves the paths and apps of the ruleset on this disk and places no mark: for `fileward check`.
CoverageReport InspectCoverage(std::string_view ruleset_json);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_COVERAGE_H_
