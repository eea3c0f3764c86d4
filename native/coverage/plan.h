// What a ruleset needs on a disk: where its trees begin, which marks a directory takes, which links
// decide.
//
// Contract: of one workload, made from a ruleset whose patterns were resolved in its root, so that
// real paths match; answers are by real path. Immutable but for the volumes that a walk finds. The
// coverage thread owns it.
#ifndef FILEWARD_COVERAGE_PLAN_H_
#define FILEWARD_COVERAGE_PLAN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "native/base/result.h"
#include "native/coverage/coverage.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/link_resolver.h"
#include "native/decision/ruleset.h"

namespace fileward {

struct DirectoryNeeds {
  uint64_t permission_mask = 0;
  uint64_t notification_mask = 0;
  bool files = false;    // an entry of it could be covered
  bool recurse = false;  // something further below could be
};

// Name events: what keeps the table true. Any directory in the table takes at least these.
uint64_t NameEvents(bool has_rename_event);

class Plan {
 public:
  // Parses with the literal parts resolved below `root` now; `root` must outlive the plan. `holds`:
  // the groups of the workload.
  static Result<Plan> Make(const RootDirectory& root, const RulesetText& text,
                           const GroupHolds& holds, bool has_rename_event);

  const Ruleset& ruleset() const { return *ruleset_; }
  std::shared_ptr<const Ruleset> shared_ruleset() const { return ruleset_; }
  // Real directories where trees begin, outermost first, none below another that is walked anyway.
  const std::set<std::string>& bases() const { return bases_; }
  // The lowest directory that holds all of them; empty without any.
  std::string CommonBase() const;
  // Real paths of directories whose names decide how a literal part resolves (apps' too).
  const std::set<std::string>& way_directories() const { return way_directories_; }
  // Is `path` an entry that decided how a rule's (an app's) literal part resolves? Was it a link
  // then?
  bool DecidesResolution(const std::string& path) const { return deciding_entries_.contains(path); }
  bool DecidesApps(const std::string& path) const { return app_entries_.contains(path); }
  bool WasLink(const std::string& path) const { return links_.contains(path); }
  // Is `path` (real) named by a pattern without wildcards?
  bool IsLiteral(const std::string& path) const { return literals_.contains(path); }

  // Does the app's pattern mean a file below this root? The host resolves all, also those that only
  // containers' rules name as the host's.
  bool ResolvesExe(uint32_t exe) const { return resolves_exe_[exe]; }

  // True when the same names are covered by rules of the same numbers for the same operations: no
  // walk is needed.
  bool CoversSame(const Plan& other) const;
  void TakeVolumesOf(const Plan& other) { volumes_ = other.volumes_; }

  DirectoryNeeds NeedsOf(const std::string& directory) const;
  uint64_t name_events() const { return name_events_; }
  // What the rules ask for on a file that they cover, or on those in a directory where they could.
  uint64_t PermissionMask(const MatchSet& rules) const;
  uint64_t ContentEvents(const MatchSet& rules) const;
  // What strict rules ask for on all of the filesystem that this directory is on, so that what is
  // made later in a directory that nobody has seen yet is judged too: 0 where they name nothing
  // below the directories that are there.
  uint64_t FilesystemMask(const std::string& directory) const;
  // What strict rules ask for in the directory where one of their trees begins; 0 in all others.
  uint64_t BaseMask(const std::string& directory) const;

  // The directory of an atomically written volume and where its `..data` points; empty target: none
  // any more.
  void SetVolume(const std::string& directory, const std::string& target);
  // The stable spelling of a path inside the current target of a volume; empty when it is in none.
  std::string StablePath(const std::string& path) const;
  // The other way round: what a stable path in a volume stands for now; empty when it is in none.
  std::string PathInVolume(const std::string& stable) const;
  // True for what such a volume's writer makes for itself: `..data`, `..data_tmp`, `..2026_...`
  // that isn't current.
  bool IsVolumeInternal(const std::string& path) const;

  struct Match {
    MatchRef rules;  // null: not covered
    std::string covered_path;
  };
  Match MatchFile(const std::string& path) const;

  // The inner part of a report: resolved and absent literal parts per rule.
  void Describe(std::vector<RuleCoverage>& rules) const;

 private:
  struct PathFinding {
    uint32_t rule_index;
    std::string pattern;  // of several alternatives the literal one
    std::string base;     // its literal part as written
    std::string real;     // empty: as written
  };
  void ChooseExes();
  void NoteStrict(uint32_t rule, const PatternAlternative& alternative);
  void AddWay(const ResolvedPath& resolved, std::unordered_set<std::string>& entries);
  MatchRef Intern(MatchSet rules) const;

  const RootDirectory* root_ = nullptr;
  std::shared_ptr<const Ruleset> ruleset_;
  uint64_t name_events_ = 0;
  std::set<std::string> bases_;
  std::map<std::string, uint64_t> strict_bases_;  // those of strict rules
  std::map<std::string, uint64_t> strict_trees_;  // those below which they reach into directories
  std::set<std::string> way_directories_;
  std::unordered_set<std::string> deciding_entries_;
  std::unordered_set<std::string> app_entries_;
  std::unordered_set<std::string> links_;
  std::unordered_set<std::string> literals_;
  std::vector<bool> resolves_exe_;
  std::vector<PathFinding> findings_;
  std::map<std::string, std::string> volumes_;  // directory -> current target (real path)
  mutable std::map<MatchSet, MatchRef> interned_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_PLAN_H_
