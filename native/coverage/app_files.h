// Which files the `exe` and `script` patterns of the ruleset name, by identity, kept true while
// they are replaced.
//
// Contract section 2, "Which app": a replacement is followed when a package manager, or an app
// listed to write the file, made it, or when no block rule covers the file; otherwise it isn't
// listed until the next ruleset. A file that was named before stays listed as long as a process
// runs it. Owned by the coverage thread; what it finds goes out as immutable AppIdentities.
#ifndef FILEWARD_COVERAGE_APP_FILES_H_
#define FILEWARD_COVERAGE_APP_FILES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "native/coverage/coverage.h"
#include "native/coverage/fact_writer.h"
#include "native/coverage/file_status.h"
#include "native/coverage/plan.h"
#include "native/decision/app_identities.h"

namespace fileward {

class NotificationGroup;
class PermissionGroup;

class AppFiles {
 public:
  // Null groups: nothing is marked, as for `fileward check`.
  AppFiles(PermissionGroup* permission, NotificationGroup* notification)
      : permission_(permission), notification_(notification) {}

  // A new ruleset: every pattern is resolved afresh, and what is there is believed. What patterns
  // named before stays listed while it runs.
  void Adopt(const Plan& plan, const std::vector<FollowedApp>& earlier);
  // The same ruleset resolved again: what is new is believed only as Touch would.
  void Recheck(const Plan& plan, FactWriter& facts, const Source& source);
  // Something happened to the name `path`. True when the identities changed.
  bool Touch(const std::string& path, FactWriter& facts, const Source& source);
  // A file with a required checksum was written to. True when the identities changed.
  bool ContentChanged(const std::string& handle_key, bool closed);
  // Forgets files that no process runs any more. True when the identities changed.
  bool DropEnded();

  std::shared_ptr<const AppIdentities> Snapshot() const;
  std::vector<FollowedApp> Followed() const;
  bool has_earlier() const;
  // Per rule: entries that name nothing.
  void Describe(const Ruleset& ruleset, std::vector<RuleCoverage>& rules) const;

 private:
  struct Exe {
    std::string pattern;
    std::map<std::string, FileStatus> current;   // by the path that the pattern names
    std::map<std::string, FileStatus> rejected;  // a replacement that wasn't followed
    std::vector<FollowedApp> earlier;
    bool script = false;
    bool hashed = false;
  };
  std::map<std::string, FileStatus> Resolve(uint32_t index, const PathPattern& pattern);
  // True when something changed.
  bool Renew(uint32_t index, FactWriter& facts, const Source& source);
  bool Trusts(const std::string& path, FactWriter& facts, const Source& source) const;
  void MarkAndHash(Exe& exe);

  PermissionGroup* permission_;
  NotificationGroup* notification_;
  const Plan* plan_ = nullptr;
  std::vector<Exe> exes_;
  std::unordered_map<std::string, std::vector<uint32_t>>
      by_entry_;  // names on the way to a file -> exes
  std::unordered_map<FileIdentity, std::string> sha256_;
  std::unordered_map<std::string, std::pair<FileIdentity, std::string>>
      hashed_by_handle_;  // -> identity, path
  std::unordered_set<FileIdentity> marked_scripts_;
};

// Identities of all running executables.
std::unordered_set<FileIdentity> RunningExecutables();

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_APP_FILES_H_
