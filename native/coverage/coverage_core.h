// What the coverage thread does, without the thread: holds the coverage of the host and of every
// container, puts new rulesets and other workloads in force, hands each event to the workloads that
// know what it is about. Everything here but counters() and marks() belongs to that thread.
#ifndef FILEWARD_COVERAGE_COVERAGE_CORE_H_
#define FILEWARD_COVERAGE_COVERAGE_CORE_H_

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "native/coverage/workload_coverage.h"

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

  // Returns when the new ruleset decides everywhere and every mark is placed (or stopping); an
  // error leaves the old one and its workloads in force.
  Result<void> Apply(std::string ruleset_json, uint64_t version,
                     std::vector<WorkloadSpec> workloads, uint64_t serial);
  // Returns when all of them are covered or say why not.
  void SetWorkloads(std::vector<WorkloadSpec> workloads, uint64_t serial);
  bool Release(std::string_view path);

  // What the containers' inits and mounts have to tell, for poll(); TakeReady takes what it said,
  // in the same order.
  void AddPolled(std::vector<pollfd>& polled);
  void TakeReady(std::span<const pollfd> polled);
  // Some init has ended: what is known of it still is to be handled before EndEnded.
  bool HasEnded() const;
  // Takes the marks of those back and closes what pins their mounts.
  void EndEnded();
  // Forgets them, once nothing is on its way that they could be asked about.
  void DropEnded(uint64_t now_ns);
  // Looks again at containers that had no root of their own yet.
  void RetryRoots(uint64_t now_ns);

  void Handle(const Noted& noted);
  // Once the events at hand are handled: what they led to that is done once for all of them.
  void AfterEvents();
  // Events since then may be missing; Rescan tells it and looks for what changed.
  void NoteLost(Failure reason, uint64_t since_ns);
  void TellLost();
  void Rescan();
  // Directories without events: for poll(), and whether one of them has changed since the last
  // call.
  int watches_fd() const { return shared_.marks.watches().fd(); }
  bool TakeWatched() { return shared_.marks.watches().TakeChanged(); }
  void SendMounts() { host_->SendMounts(); }
  void Tick(uint64_t now_ns);
  uint64_t NextTick() const;
  void Upkeep();

  // Of the host: after an Apply that walked keeps what it found, before any event changes it.
  void KeepFoundFiles() { host_->KeepFoundFiles(); }
  // What that Apply found if nobody has taken it yet, else what changed since the last call; with
  // the facts written until now it is all that was seen.
  CoveredFiles TakeCoveredFiles() { return host_->TakeCoveredFiles(); }

  CoverageReport Report();
  // Since the last Report.
  bool ReportChanged() const;

  std::shared_ptr<const RuleCounters> counters() const { return counters_.load(); }
  Coverage::MarkCounts marks() const {
    return {shared_.marks.permission_count(), shared_.marks.notification_count()};
  }

 private:
  // A container that a group holds.
  struct Member {
    WorkloadSpec spec;
    bool listed = true;                          // false: only its last events are waited for
    bool regrouped = false;                      // other groups than it is covered by
    std::unique_ptr<WorkloadCoverage> coverage;  // null: see `error`
    std::string error;
    uint64_t covered_ns = 0;
    uint64_t ended_ns = 0;        // CLOCK_MONOTONIC; 0: its init is there
    uint64_t next_mounts_ns = 0;  // not before then is its mount table looked at again
    // While its runtime hasn't made its root: when to look again, and how long to wait after that.
    uint64_t retry_ns = 0;
    uint64_t retry_after_ns = 0;
    WorkloadReport report;
  };
  using Members = std::map<WorkloadId, Member>;
  using Plans = std::map<WorkloadId, std::unique_ptr<Plan>>;

  void Admit(std::vector<WorkloadSpec> workloads);
  Result<void> MakePlans(const RulesetText& text, Plans& plans);
  void Open(Member& member);
  void CoverAlone(Member& member);
  void Covered(Member& member);
  void CantRead(Member& member, const Error& error);
  void Drop(Member& member);
  uint64_t NextOfMembers() const;
  void Swap(const std::shared_ptr<RulesetSwap>& swap);
  void SwapAlone(WorkloadRules part);
  void Breathe();
  UniqueFd OpenFilesystem(uint64_t dev) const;
  void LeaveFilesystem(uint64_t superblock);
  // The host first, then the containers by id.
  std::vector<WorkloadCoverage*> All() const;

  SharedCoverage shared_;
  std::unique_ptr<WorkloadCoverage> host_;
  Members members_;
  std::vector<WorkloadId> polled_;  // whose pidfd and mount table AddPolled added
  CoverageReport host_report_;
  uint64_t serial_ = 0;
  bool members_changed_ = false;  // since the last Report
  uint64_t next_breath_ns_ = 0;
  bool layers_stale_ = false;  // some are layers no more
  uint64_t next_layers_ns_ = 0;
  Earlier earlier_;
  struct Lost {
    Failure reason;
    uint64_t since_ns;
  };
  std::vector<Lost> lost_;
  // Set by the coverage thread at a swap, read by stats().
  std::atomic<std::shared_ptr<const RuleCounters>> counters_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_COVERAGE_CORE_H_
