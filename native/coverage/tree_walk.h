// Walks covered trees: marks each directory, then looks at what is in it, and keeps the directory
// table, the marks and the decision thread's table in step.
//
// Contract: a directory is marked before it is listed, so whatever appears meanwhile is either
// listed or told by an event, and everything here may be done twice. No link inside a tree is
// followed; other mounts are entered, pseudo filesystems are not. Differences from what was known
// go to `findings` where the caller gives one. Cost: per directory seven system calls and its
// listing; a file is looked at only when a rule covers its name. Depth: one open fd per level,
// bounded by limits.depth. The coverage thread owns it.
#ifndef FILEWARD_COVERAGE_TREE_WALK_H_
#define FILEWARD_COVERAGE_TREE_WALK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "native/coverage/directory_table.h"
#include "native/coverage/mark_set.h"
#include "native/coverage/plan.h"
#include "native/decision/object_table.h"

namespace fileward {

// A difference between what was known of a covered name and what is on disk.
struct Finding {
  enum class Kind { kAppeared, kVanished, kReplaced, kChanged };
  Kind kind;
  std::string path;  // by which records name it
  MatchRef rules;
  std::optional<FileStatus> before;
  std::optional<FileStatus> after;
  bool last_name = false;  // kVanished: no other covered name is left
};
using Findings = std::vector<Finding>;

class TreeWalk {
 public:
  // `updates` null: nobody decides (`fileward check`).
  TreeWalk(DirectoryTable& table, MarkSet& marks, ObjectUpdates* updates,
           const std::atomic<bool>& stopping)
      : table_(table), marks_(marks), updates_(updates), stopping_(stopping) {}

  // While `quiet`, the decision thread is told nothing: a candidate is being covered and the table
  // is sent whole.
  void SetPlan(Plan* plan, bool quiet);
  void SetQuiet(bool quiet) { quiet_ = quiet; }

  // Everything that the plan needs; what this walk does not see keeps its older generation.
  void WalkAll(Findings* findings);
  // One directory and what is below it, as far as the plan covers it.
  void WalkFrom(Directory& directory, Findings* findings);
  // The same, of a directory that was walked before.
  void WalkAgain(Directory& directory);
  // After WalkAll: forgets names, then directories that it did not see, and takes surplus marks
  // back.
  void ForgetUnseenNames(Findings* findings);
  void TrimUnseen();

  // A directory that stands at `name` of `parent` now: takes it in, walks it. Null when it has gone
  // or isn't needed.
  Directory* TakeDirectory(Directory& parent, const std::string& name, Findings* findings);
  void ForgetDirectory(Directory& directory, Findings* findings);

  struct Look {
    enum class Result { kNotCovered, kSame, kAppeared, kReplaced, kVanished };
    Result result = Result::kNotCovered;
    std::string covered_path;
    MatchRef rules;
    std::optional<FileStatus> before;  // as known
    std::optional<FileStatus> after;   // as found
    bool last_name = false;  // kVanished, kReplaced: the old file has no covered name left
    FileIdentity old_identity;
  };
  // Looks at one name and brings everything in step. `unignore`: the file was somewhere else
  // before, where the decision thread may have muted it.
  Look LookAt(Directory& directory, const std::string& name, bool unignore);
  // Takes a name out without looking; as LookAt for one that has gone.
  Look ForgetName(Directory& directory, const std::string& name);

  // Marks of a covered file by what its rules and links ask for now.
  void MarkObject(CoveredObject& object, int dirfd, const char* name);

  // Takes objects that lose their last covered name before they are dropped; true: keeps it.
  std::function<bool(CoveredObject& object, const KnownName& last, const Directory& directory)>
      keep_object;

  // A moved file has a covered name again.
  std::function<void(const FileIdentity&)> object_returned;
  // To the decision thread; nothing while quiet.
  void Send(ObjectUpdate update);

  // Everything known, for a new decision table.
  void FillTable(ObjectTable& table) const;

  struct FileMasks {
    uint64_t permission = 0;
    uint64_t notification = 0;
    bool needed = false;  // not only to close gaps
    bool operator==(const FileMasks& other) const {
      return permission == other.permission && notification == other.notification;
    }
  };

  struct Trouble {
    Failure reason;
    std::string path;
    std::string detail;
  };
  // What could not be covered since the last WalkAll, at most 100 of each reason.
  const std::vector<Trouble>& troubles() const { return troubles_; }

 private:
  struct Entry {
    std::string name;
    unsigned char type;
  };
  Directory* AttachWay(const std::string& path);
  Directory* AttachChild(Directory& parent, const std::string& name, const UniqueFd& fd);
  void MarkWay(Directory& directory, int fd);
  void Visit(Directory& directory, const UniqueFd& fd, const std::string& path, uint32_t depth,
             Findings* findings);
  void VisitEntries(Directory& directory, int fd, const std::string& path,
                    const std::vector<Entry>& entries, const DirectoryNeeds& needs, uint32_t depth,
                    Findings* findings);
  void ForgetMissing(Directory& directory, const std::vector<Entry>& entries, Findings* findings);
  Look LookAtOpen(Directory& directory, int dirfd, const std::string& path, const std::string& name,
                  bool unignore);
  uint32_t DepthOf(const std::string& path) const;
  void DropObject(CoveredObject& object);
  // What the walk found becomes the state before the next change.
  void Settle(const Look& look);
  FileMasks WantedFileMasks(const CoveredObject& object) const;
  static FileMasks PlacedFileMasks(const CoveredObject& object);
  static void AddFinding(Findings& findings, const Look& look);
  void Complain(Failure reason, const std::string& path, std::string detail);

  DirectoryTable& table_;
  MarkSet& marks_;
  ObjectUpdates* updates_;
  const std::atomic<bool>& stopping_;
  Plan* plan_ = nullptr;
  bool quiet_ = true;
  bool walking_all_ = false;
  uint32_t generation_ = 0;
  std::vector<Trouble> troubles_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_TREE_WALK_H_
