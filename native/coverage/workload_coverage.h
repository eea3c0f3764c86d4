// What is covered of one workload, the host or a container: its root, its plan, the directories and
// files known of it, its apps.
//
// A new ruleset, other groups or a link that leads elsewhere are taken in three steps, so that the
// old rules decide until the new ones do: Prepare places every mark and tells the decision thread
// nothing, Part gives what decides from now on (for a RulesetSwap), Finish takes back what nobody
// needs any more. When its init has ended, End takes its marks back and closes what pins its
// mounts; events that were on the way are still told. Owned by the coverage thread.
#ifndef FILEWARD_COVERAGE_WORKLOAD_COVERAGE_H_
#define FILEWARD_COVERAGE_WORKLOAD_COVERAGE_H_

#include <atomic>
#include <cstdint>
#include <functional>
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
#include "native/coverage/fact_sink.h"
#include "native/coverage/fact_writer.h"
#include "native/coverage/judged_index.h"
#include "native/coverage/mark_set.h"
#include "native/coverage/mount_points.h"
#include "native/coverage/moved_files.h"
#include "native/coverage/overlay_layers.h"
#include "native/coverage/plan.h"
#include "native/coverage/tree_walk.h"
#include "native/coverage/workload_root.h"
#include "native/decision/decision_thread.h"

namespace fileward {

// What all workloads have in common.
struct SharedCoverage {
  SharedCoverage(NotificationGroup& notification_group, PermissionGroup& permission_group,
                 DecisionThread& decisions, const ProcessTable& process_table, EventRing& ring,
                 const std::atomic<bool>& stop);

  DecisionThread& decision_thread;
  const ProcessTable& processes;
  const std::atomic<bool>& stopping;
  const bool has_rename_event;
  FactSink sink;
  MarkSet marks;
  JudgedIndex judged;
  // In force, or about to be.
  std::shared_ptr<const RulesetText> ruleset_text;
  uint64_t version = 0;
  std::shared_ptr<RuleCounters> counters;
  std::shared_ptr<const AppIdentities> host_apps = std::make_shared<const AppIdentities>();
  OverlayLayers layers;
  // Called often while a tree is walked.
  std::function<void()> breathe;
  // Puts new rules of this workload alone in force.
  std::function<void(WorkloadRules part)> swap_alone;
  // Some directory of the filesystem with this st_dev, wherever it is mounted.
  std::function<UniqueFd(uint64_t dev)> open_filesystem;
};

class WorkloadCoverage {
 public:
  WorkloadCoverage(WorkloadId workload, std::unique_ptr<RootDirectory> root, GroupHolds holds,
                   SharedCoverage& shared);
  ~WorkloadCoverage();
  WorkloadCoverage(const WorkloadCoverage&) = delete;
  WorkloadCoverage& operator=(const WorkloadCoverage&) = delete;

  // Its groups from the next MakePlan on.
  void SetGroups(GroupHolds holds) { holds_ = std::move(holds); }
  // The ruleset as this workload's root resolves it; an error: it can't be parsed.
  Result<std::unique_ptr<Plan>> MakePlan(const RulesetText& text) const;
  void Prepare(std::unique_ptr<Plan> plan, const std::vector<FollowedApp>& followed_before,
               RunningApps& running);
  WorkloadRules Part();
  void Finish();
  // Protects what an earlier run of the agent left.
  void Restore(const std::vector<MovedFile>& moved) { moved_.Restore(moved); }

  WorkloadId workload() const { return workload_; }
  bool is_covered() const { return plan_ != nullptr; }
  const RootDirectory& root() const { return *root_; }
  MountPoints& mounts() { return mounts_; }
  const MountPoints& mounts() const { return mounts_; }
  // The directory of this key is a layer now: takes permission marks off what is there.
  void LeaveLayer(const std::string& key);
  // The mark on all of the filesystem of this directory had to go for one's sake.
  void FilesystemLost(const std::string& path);
  // Some are layers no more.
  void LayersChanged();

  // Does it know the directory or file that the event names? Where: st_dev.
  std::optional<uint64_t> Knows(const NotificationEvent& event);
  // `doubtful`: it may be about another file whose key is the same.
  void Handle(const Noted& noted, bool doubtful);
  void AfterEvents();
  void WriteLost(Failure reason, uint64_t since_ns, uint64_t until_ns);
  void Rescan();
  void SendMounts();
  void MountsChanged(const std::vector<std::string>& points);
  void Tick(uint64_t now_ns);
  uint64_t NextTick() const;
  void Upkeep();
  bool Release(std::string_view path) { return moved_.Release(path); }

  bool has_ended() const { return has_ended_; }
  // Takes its rules out of force, its marks back, and closes what pins its mounts.
  void End();
  // The same without the marks, whatever is going on.
  void CloseRoot();

  void KeepFoundFiles();
  CoveredFiles TakeCoveredFiles();

  // Everything but the marks and the version.
  CoverageReport Report();
  // The same, of a container: only the rules of its groups.
  std::vector<RuleCoverage> HeldRules();
  bool ReportChanged() const;

 private:
  using StableNames = std::map<std::string, std::pair<MatchRef, FileStatus>>;
  using State = std::tuple<size_t, size_t, size_t, size_t, size_t>;

  void Cover(std::unique_ptr<Plan> plan, bool walks);
  void Unmute();
  void WalkAgain();
  void ResolveAgain();
  void SwapVolume(const std::string& directory_path, const Source& source);
  StableNames NamesInVolumes();
  void WriteVolumeChanges(const StableNames& before, const Source& source);
  void SendApps();
  void AppsAreNow();
  void Gone();
  void TakeBackMarks();
  UniqueFd OpenAnywhere(const FileIdentity& identity, const std::string& handle_key);
  CoveredFiles AllCoveredFiles();
  CoveredFiles CoveredFilesNamed(const ChangedNames& changed);
  State ReportState() const;

  const WorkloadId workload_;
  SharedCoverage& shared_;
  const std::unique_ptr<RootDirectory> root_;
  MountPoints mounts_;
  GroupHolds holds_;
  DirectoryTable table_;
  TreeWalk walk_;
  MovedFiles moved_;
  FactWriter facts_;
  AppFiles apps_;
  Changes changes_;
  std::unique_ptr<Plan> plan_;
  std::shared_ptr<const WorkloadUsers> users_;  // null: the host's
  // Between Prepare and Finish.
  std::unique_ptr<Plan> old_plan_;
  bool walked_ = false;
  std::unordered_set<FileIdentity> known_before_;

  std::optional<std::pair<std::string, Source>> resolution_change_;
  bool apps_changed_ = false;
  bool has_ended_ = false;
  State reported_{};
  bool report_stale_ = false;  // for what the numbers don't show
  bool keeps_found_ = false;   // Prepare walked, and what it found isn't kept yet
  std::optional<CoveredFiles> found_files_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_WORKLOAD_COVERAGE_H_
