// Walks covered trees: marks each directory, then looks at what is in it, and keeps the directory
// table, the marks and the decision thread's table in step.
//
// Contract: a directory is marked before it is listed, so whatever appears meanwhile is either
// listed or told by an event, and everything here may be done twice. No link inside a tree is
// followed; other mounts are entered, pseudo filesystems are not. Differences from what was known
// go to `findings` where the caller gives one. Cost: per directory seven system calls and its
// listing; a file is looked at only when a rule covers its name. Depth: one open fd per level,
// bounded by limits.depth; a container's tree ends where limits.marks does, and of its files as
// many are known as a quarter of that. The coverage thread owns it.
#ifndef FILEWARD_COVERAGE_TREE_WALK_H_
#define FILEWARD_COVERAGE_TREE_WALK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "native/coverage/directory_table.h"
#include "native/coverage/mark_set.h"
#include "native/coverage/overlay_layers.h"
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
  TreeWalk(WorkloadId workload, DirectoryTable& table, MarkSet& marks, ObjectUpdates* updates,
           const std::atomic<bool>& stopping)
      : workload_(workload), table_(table), marks_(marks), updates_(updates), stopping_(stopping) {}

  WorkloadId workload() const { return workload_; }
  // Whose marks these are.
  MarkSet::For For() const {
    return table_.disk().is_host() ? MarkSet::For::kHost : MarkSet::For::kContainer;
  }

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
  // Is what stands at `name` the known file still? Without a birth time (overlay) an inode number
  // that is used again at once is told by the handle.
  bool StillIs(const CoveredObject& object, const FileStatus& found, int dirfd,
               const std::string& name) const;
  // The key of its handle; empty when it can't be looked at.
  std::string HandleAt(int dirfd, const std::string& name) const;
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

  // Called before each directory that a walk looks into, and often in a long one, and free to close
  // the root meanwhile.
  std::function<void()> before_directory;

  // Says where no permission marks may be. Null: anywhere.
  void SetLayers(OverlayLayers* layers) { layers_ = layers; }
  // One that is known became a layer: takes its permission marks back.
  void AvoidLayer(Directory& layer);
  // Has met one since the last WalkAll began.
  bool has_layers() const { return has_layers_; }
  // The mark on the filesystem of this directory had to go for a layer's sake.
  void FilesystemLost(const std::string& path);

  // Everything known, for a new decision table.
  void FillTable(ObjectTable& table) const;

  struct FileMasks {
    uint64_t permission = 0;
    uint64_t notification = 0;
    bool needed = false;     // not only to close gaps
    bool unguarded = false;  // there is no room for marks that only close gaps
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
  static constexpr const char* kLayerDetail =
      "an overlay whose layers aren't known here, or a layer of an overlay";
  struct Entry {
    std::string name;
    unsigned char type;
  };
  Directory* AttachWay(const std::string& path);
  UniqueFd OpenChild(int fd, const Directory& directory, const std::string& name);
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
  // A container has as many files as may be known of it; each takes memory, and time in a walk.
  bool IsFull() const;
  // The agent ends, or the container has.
  bool Stopped() const {
    return stopping_.load(std::memory_order_relaxed) || table_.disk().fd() < 0;
  }
  void DropObject(CoveredObject& object);
  // What the walk found becomes the state before the next change.
  void Settle(const Look& look);
  FileMasks WantedFileMasks(const CoveredObject& object) const;
  static FileMasks PlacedFileMasks(const CoveredObject& object);
  static void AddFinding(Findings& findings, const Look& look);
  void Complain(Failure reason, const std::string& path, std::string detail);
  bool HasTold(Failure reason, const std::string& path) const;
  bool MayGuard(int fd, const FileIdentity& identity) const;
  void ComplainOfLayer(const Directory& within);
  void ComplainOfLinks(const CoveredObject& object);
  void ComplainOfMount(const std::string& path);
  void ComplainOfMark(const Directory& directory, const std::string& path,
                      const MarkFailure& failed);
  void CoverFilesystem(int fd, const std::string& path, uint64_t dev, uint64_t mask);
  void CoverAbsent(const std::string& base);

  const WorkloadId workload_;
  DirectoryTable& table_;
  MarkSet& marks_;
  ObjectUpdates* updates_;
  const std::atomic<bool>& stopping_;
  OverlayLayers* layers_ = nullptr;
  Plan* plan_ = nullptr;
  bool quiet_ = true;
  bool walking_all_ = false;
  bool has_layers_ = false;
  uint32_t generation_ = 0;
  uint32_t whole_walk_ = 0;  // generation of the last WalkAll
  std::vector<Trouble> troubles_;
  std::unordered_set<MatchRef> unguarded_;  // whose files were complained of
  // What was asked of the filesystems of these st_devs since the last WalkAll began, and why it was
  // refused.
  struct AskedFilesystem {
    uint64_t mask = 0;
    std::string refused;
  };
  std::unordered_map<uint64_t, AskedFilesystem> filesystems_;
  // Files with marks of their own that ForgetUnseenNames forgot: they may still be there, and their
  // marks go with TrimUnseen.
  struct Uncovered {
    std::string path;
    FileIdentity identity;
    FileMasks masks;
  };
  std::vector<Uncovered> uncovered_;
  bool forgets_unseen_ = false;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_TREE_WALK_H_
