// Which files the `exe` and `script` patterns of the ruleset name, by identity, kept true while
// they are replaced.
//
// Contract section 2, "Which app": a replacement is followed when a package manager, or an app
// listed to write the file, made it, or when no block rule covers the file; otherwise it isn't
// listed until the next ruleset. A file that was named before stays listed as long as a process
// runs it. Of one workload: its own files. Owned by the coverage thread; what it finds goes out as
// immutable AppIdentities.
#ifndef FILEWARD_COVERAGE_APP_FILES_H_
#define FILEWARD_COVERAGE_APP_FILES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
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

class MarkSet;

// Identities of all running executables, looked for when first asked.
class RunningApps {
 public:
  const std::unordered_set<FileIdentity>& Get();

 private:
  std::optional<std::unordered_set<FileIdentity>> running_;
};

class AppFiles {
 public:
  // Both must outlive the object.
  AppFiles(const RootDirectory& disk, MarkSet& marks) : disk_(disk), marks_(marks) {}

  // A new ruleset: every pattern is resolved afresh, and what is there is believed. What patterns
  // named before stays listed while it runs.
  void Adopt(const Plan& plan, const std::vector<FollowedApp>& earlier, RunningApps& running);
  // The same ruleset resolved again: what is new is believed only as Touch would.
  void Recheck(const Plan& plan, FactWriter& facts, const Source& source);
  // Something happened to the name `path`. True when the identities changed.
  bool Touch(const std::string& path, FactWriter& facts, const Source& source);
  // The file with a required checksum that has this handle.
  std::optional<FileIdentity> HashedFile(const std::string& handle_key) const;
  // One was written to. True when the identities changed.
  bool ContentChanged(const std::string& handle_key, bool closed);
  // Reads again what was written to and wasn't read at once. True when the identities changed.
  bool HashDue(uint64_t now_ns);
  // CLOCK_MONOTONIC at which HashDue has something to do; UINT64_MAX: nothing waits.
  uint64_t NextHash() const;
  // Forgets files that no process runs any more. True when the identities changed.
  bool DropEnded();

  // `open`: the file by its identity and handle key, wherever it still can be reached.
  void TakeBackMarks(
      const std::function<UniqueFd(const FileIdentity&, const std::string& handle_key)>& open);

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
  std::string Hash(const std::string& path) const;

  const RootDirectory& disk_;
  MarkSet& marks_;
  const Plan* plan_ = nullptr;
  std::vector<Exe> exes_;
  std::unordered_map<std::string, std::vector<uint32_t>>
      by_entry_;  // names on the way to a file -> exes
  std::unordered_map<FileIdentity, std::string> sha256_;
  struct Hashed {
    FileIdentity identity;
    std::string path;
    bool due = false;
    uint64_t next_ns = 0;  // not before then is it read again
  };
  std::unordered_map<std::string, Hashed> hashed_by_handle_;
  struct Marked {
    std::string handle_key;
    bool script = false;
    bool hashed = false;
  };
  std::unordered_map<FileIdentity, Marked> marked_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_APP_FILES_H_
