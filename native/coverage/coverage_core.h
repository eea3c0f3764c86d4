// What the coverage thread does, without the thread: covers rulesets, handles events, rescans.
// Everything here but counters() and marks() belongs to that thread.
#ifndef FILEWARD_COVERAGE_COVERAGE_CORE_H_
#define FILEWARD_COVERAGE_COVERAGE_CORE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "native/coverage/app_files.h"
#include "native/coverage/changes.h"
#include "native/coverage/coverage.h"
#include "native/coverage/covered_files.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/fact_writer.h"
#include "native/coverage/judged_index.h"
#include "native/coverage/mark_set.h"
#include "native/coverage/moved_files.h"
#include "native/coverage/plan.h"
#include "native/coverage/tree_walk.h"
#include "native/decision/decision_thread.h"

namespace fileward {

class CoverageCore {
 public:
  struct Earlier {
    std::vector<MovedFile> moved;
    std::vector<FollowedApp> followed_apps;
  };
  CoverageCore(Earlier earlier, NotificationGroup& notification_group,
               PermissionGroup& permission_group, DecisionThread& decision_thread,
               ProcessTable& processes, EventRing& ring, const std::atomic<bool>& stopping);

  // Returns when the new ruleset decides and every mark is placed (or stopping); an error leaves
  // the old one in force.
  Result<void> Apply(std::string ruleset_json, uint64_t version);
  bool Release(std::string_view path) { return moved_.Release(path); }

  void Handle(const Noted& noted);
  // Once the events at hand are handled: what they led to that is done once for all of them.
  void AfterEvents();
  // Events since then may be missing; Rescan tells it and looks for what changed.
  void NoteLost(Failure reason, uint64_t since_ns);
  void TellLost();
  void Rescan();
  void SendMounts();
  void MountsChanged(const std::vector<std::string>& points);
  void Tick(uint64_t now_ns);
  uint64_t NextTick() const;
  void Upkeep();

  // After an Apply that walked: keeps what it found, before any event changes it.
  void KeepFoundFiles();
  // What that Apply found if nobody has taken it yet, else what changed since the last call; with
  // the facts written until now it is all that was seen.
  CoveredFiles TakeCoveredFiles();

  CoverageReport Report();
  // Since the last Report.
  bool ReportChanged() const;

  std::shared_ptr<const RuleCounters> counters() const { return counters_.load(); }
  Coverage::MarkCounts marks() const {
    return {marks_.permission_count(), marks_.notification_count()};
  }

 private:
  enum class Walk { kFull, kNone };
  using StableNames = std::map<std::string, std::pair<MatchRef, FileStatus>>;

  void Cover(std::unique_ptr<Plan> plan, Walk how);
  void Swap(std::shared_ptr<const Ruleset> ruleset);
  void Unmute(const std::unordered_set<FileIdentity>& known_before);
  void ResolveAgain();
  void SwapVolume(const std::string& directory_path, const Source& source);
  StableNames NamesInVolumes();
  void WriteVolumeChanges(const StableNames& before, const Source& source);
  void SendApps();
  CoveredFiles AllCoveredFiles();
  CoveredFiles CoveredFilesNamed(const ChangedNames& changed);
  std::tuple<size_t, size_t, size_t, size_t, size_t> ReportState() const;

  DecisionThread& decision_thread_;
  const std::atomic<bool>& stopping_;
  const bool has_rename_event_;
  DirectoryTable table_;
  MarkSet marks_;
  TreeWalk walk_;
  MovedFiles moved_;
  FactWriter facts_;
  JudgedIndex judged_;
  AppFiles apps_;
  Changes changes_;
  Earlier earlier_;
  std::unique_ptr<Plan> plan_;
  std::string ruleset_json_;
  uint64_t version_ = 0;
  std::optional<std::pair<std::string, Source>> resolution_change_;
  bool apps_changed_ = false;
  struct Lost {
    Failure reason;
    uint64_t since_ns;
    uint64_t count;
  };
  std::vector<Lost> lost_;
  std::tuple<size_t, size_t, size_t, size_t, size_t> reported_{};
  bool report_stale_ = false;  // for what the numbers don't show
  bool walked_ = false;        // by Apply, and what it found isn't kept yet
  std::optional<CoveredFiles> found_files_;
  // Set by the coverage thread at a swap, read by stats().
  std::atomic<std::shared_ptr<const RuleCounters>> counters_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_COVERAGE_CORE_H_
