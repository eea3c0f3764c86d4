// Coverage: which files and directories the ruleset in force covers on the host and in each
// container, kept true while the disks and the containers change.
//
// Owns two threads. The reader thread drains the notification group N at once and resolves who
// acted; a bounded queue hands what it read to the coverage thread, which owns everything else
// here: the workloads' roots and directory tables, the marks in both groups, the app files, the
// moved files. It publishes change facts into ring 1 and sends the decision thread messages
// (ObjectUpdates); nothing is shared with the decision thread under a lock, because this thread
// opens files and an open may have to wait for that thread. (Both ask the ProcessTable, whose locks
// nobody holds while opening a file.)
//
// Apply, SetWorkloads, Release and Stop may be called from any one thread; they hand over and
// return. `on_report` is called on the coverage thread.
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
#include "native/base/workload.h"
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

// A container that is there. One in no group is told all the same: its processes are its own.
struct WorkloadSpec {
  WorkloadId id = kHostWorkload;
  int32_t pid = 0;                  // of its init
  uint64_t start_ticks = 0;         // of that process: with the pid it names it
  std::string cgroup;               // as CgroupOf says; its processes are there or below
  std::vector<std::string> groups;  // names of those that hold it

  bool operator==(const WorkloadSpec&) const = default;
};

// A container that a group of the ruleset in force holds.
struct WorkloadReport {
  WorkloadId workload = kHostWorkload;
  // Empty: covered. "gone": its init has ended or is another process. "no_root": its init has no
  // root but the host's (yet); it is covered as soon as it has one. Else a sentence.
  std::string error;
  uint64_t covered_ns = 0;  // CLOCK_REALTIME when all its marks were placed first; 0: never yet
  std::vector<RuleCoverage> rules;  // those of its groups only
};

struct CoverageReport {
  uint64_t ruleset_version = 0;
  std::string error;  // not empty: the ruleset was refused, the one before stays in force
  // Of the last SetWorkloads or Apply that is complete: all its workloads are covered or say why
  // not.
  uint64_t workloads_serial = 0;
  uint64_t permission_marks = 0;  // of all workloads
  uint64_t notification_marks = 0;
  std::vector<RuleCoverage> rules;        // the host's
  std::vector<WorkloadReport> workloads;  // in the order of their ids
  // The host's, to be kept under `state` and passed back in CoverageOptions at the next start.
  std::vector<MovedFile> moved;
  std::vector<FollowedApp> followed_apps;
};

struct CoverageOptions {
  std::vector<MovedFile> moved;
  std::vector<FollowedApp> followed_apps;
  // After each Apply and SetWorkloads (every mark is placed and the new rules decide), and when
  // coverage changed since: at most once a second.
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

  // Covers the ruleset (src/policy/ruleset.ts) on the host and in the workloads while the one
  // before still decides, then swaps for all of them at once. It is parsed here, with the literal
  // part of each pattern resolved in each workload's root, and again when a link on the way of one
  // changes; a text that can't be parsed is reported (CoverageReport::error) and leaves the rules
  // as they are. A later Apply replaces one not begun. `workloads`: all containers, as
  // SetWorkloads.
  void Apply(std::string ruleset_json, uint64_t version, std::vector<WorkloadSpec> workloads = {},
             uint64_t serial = 0);

  // All containers there are now. New ones are covered by the ruleset in force; one whose groups
  // changed is covered anew while its old rules decide; who left or ended is dropped; one with an
  // error is tried again. `serial` grows with every SetWorkloads and Apply: it comes back as
  // CoverageReport::workloads_serial. A later call replaces one not begun. Nothing is covered
  // before the first Apply.
  void SetWorkloads(uint64_t serial, std::vector<WorkloadSpec> workloads);

  // Ends the protection of a moved file by its present or its protected path; false when it is
  // none. Waits for the coverage thread (which may be walking), so not to be called on a thread
  // that mustn't wait.
  bool Release(std::string_view path);

  // All covered files of the host as the last Apply found them when nobody has taken that yet, else
  // those that changed since the last call: their state after the facts in the ring by now, so what
  // is drained afterwards tells every difference. Waits for the coverage thread like Release; after
  // Stop it answers at once. One call at a time.
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

  // Ends both threads. Idempotent; the destructor calls it. The marks end with the groups. False: a
  // thread that waits for a file has not ended within 2 s; it is left, and goes on using all that
  // it was given.
  bool Stop();

 private:
  class Impl;
  explicit Coverage(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Resolves the paths and apps of the ruleset on this disk and places no mark: for `fileward check`.
CoverageReport InspectCoverage(std::string_view ruleset_json);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_COVERAGE_H_
