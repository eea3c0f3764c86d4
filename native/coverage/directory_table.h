// What is known of the covered trees: every directory that carries a mark, and the covered names in
// it.
//
// Contract: directories form one tree from "/" down, by real path (no links); each is found by its
// handle key (what notification events carry) and by path. A covered file is one CoveredObject, by
// device and inode, with all of its covered names; the attributes kept there are those before the
// next change. Cost: lookups are hash lookups; a path is put together from the parents, O(depth).
// Thread-safety: none; the coverage thread owns it.
#ifndef FILEWARD_COVERAGE_DIRECTORY_TABLE_H_
#define FILEWARD_COVERAGE_DIRECTORY_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "native/base/file_identity.h"
#include "native/base/unique_fd.h"
#include "native/coverage/file_status.h"
#include "native/coverage/workload_root.h"
#include "native/decision/ruleset.h"

namespace fileward {

using MatchRef = std::shared_ptr<const MatchSet>;

struct KnownName {
  FileIdentity identity;
  MatchRef rules;
  std::string covered_path;  // by which rules cover it and records name it
  uint32_t generation = 0;   // of the last walk that saw it
};

struct Directory {
  std::string key;
  FileIdentity identity;
  Directory* parent = nullptr;
  std::string name;
  std::unordered_map<std::string, std::unique_ptr<Directory>> children;
  std::unordered_map<std::string, KnownName> files;
  // As placed; more than is wanted while a new ruleset is being covered and the old one decides.
  uint64_t permission_mask = 0;
  uint64_t notification_mask = 0;
  int watch = -1;           // of FolderWatches, where there are no events for notification_mask
  uint64_t mount_mask = 0;  // of those in permission_mask, placed on its mount as well
  uint64_t wanted_permission_mask = 0;
  uint64_t wanted_notification_mask = 0;
  uint32_t generation = 0;  // of the last walk that saw it
  bool walked = false;      // its entries are known; false: it is only on the way to a tree
  bool in_layer = false;    // at or below a layer of an overlay that carries marks itself
};

struct CoveredObject {
  struct Name {
    Directory* directory = nullptr;
    std::string name;
  };
  FileStatus status;
  std::string handle_key;
  std::vector<Name> names;
  std::optional<uint64_t> extended_attributes;  // their hash, where changes of them are told
  uint64_t permission_mask = 0;                 // of its own mark
  uint64_t notification_mask = 0;
  bool moved = false;             // was moved out of its rule's reach and stays protected
  bool eager = false;             // has marks only to close gaps
  uint64_t written_since_ns = 0;  // first change not settled yet; 0: `status` is what is on disk
  uint64_t written_told_ns = 0;   // when the last `written` fact went out
  int32_t written_pid = 0;        // and of which process
};

// Covered names that came, went or whose file has another status than before.
struct ChangedNames {
  bool all = false;  // too many to be told, or a directory moved with what is in it
  std::unordered_set<std::string> paths;          // real ones, to be looked up
  std::unordered_set<std::string> covered_paths;  // by which rules covered them
};

class DirectoryTable {
 public:
  // `disk` is where all of it is; it must outlive the table.
  explicit DirectoryTable(const RootDirectory& disk);

  const RootDirectory& disk() const { return disk_; }

  Directory& root() { return *root_; }
  Directory* FindByKey(std::string_view key);
  Directory* FindByPath(std::string_view path);
  Directory* Child(const Directory& directory, std::string_view name);
  std::string PathOf(const Directory& directory) const;
  std::string PathOf(const Directory& directory, std::string_view name) const;
  size_t directory_count() const { return by_key_.size(); }

  // The directory `name` of `parent`, where nothing else may stand: new, or moved here when `key`
  // is known elsewhere. The answer's parent isn't `parent` when that would make a loop (a mount
  // shows a parent inside itself).
  Directory& Attach(Directory& parent, std::string_view name, std::string key,
                    const FileIdentity& identity);
  // Gives the root its key.
  void SetRootKey(std::string key, const FileIdentity& identity);
  void Move(Directory& directory, Directory& new_parent, std::string_view new_name);
  // Takes the whole subtree away; `forget` sees each directory, children first, while its path
  // still holds.
  void Remove(Directory& directory, const std::function<void(Directory&)>& forget);
  void ForEachBelow(Directory& directory, const std::function<void(Directory&)>& visit);

  // Opens the directory by its path and makes sure that it is that directory; invalid when it isn't
  // any more. The fd stays good until the next call or Close (a kept fd would hold its mount busy).
  int Open(const Directory& directory);
  void Close();

  CoveredObject* FindObject(const FileIdentity& identity);
  CoveredObject* FindObjectByHandle(std::string_view handle_key);
  CoveredObject& AddName(Directory& directory, const std::string& name, KnownName known,
                         const FileStatus& status);
  // An object without a covered name.
  CoveredObject& AddObject(const FileStatus& status);
  // True when that was the last covered name; the object is left for the caller to keep or
  // RemoveObject.
  bool RemoveName(Directory& directory, const std::string& name);
  void SetHandle(CoveredObject& object, std::string handle_key);
  void RemoveObject(const FileIdentity& identity);
  void ForEachObject(const std::function<void(CoveredObject&)>& visit);
  size_t object_count() const { return objects_.size(); }
  void NoteEager(CoveredObject& object);
  size_t eager_count() const { return eager_count_; }

  // To be called when the status of a known object was brought up to date.
  void NoteChanged(const CoveredObject& object);
  // Since the last call; at first it is all.
  ChangedNames TakeChanged();

 private:
  void NoteChanged(const Directory& directory, std::string_view name, const KnownName& known);
  void DropSubtree(Directory& directory, const std::function<void(Directory&)>& forget);

  const RootDirectory& disk_;
  std::unique_ptr<Directory> root_;
  std::unordered_map<std::string_view, Directory*> by_key_;  // keys live in the directories
  std::unordered_map<FileIdentity, std::unique_ptr<CoveredObject>> objects_;
  std::unordered_map<std::string_view, CoveredObject*> by_handle_;  // keys live in the objects
  size_t eager_count_ = 0;
  ChangedNames changed_{.all = true, .paths = {}, .covered_paths = {}};
  UniqueFd open_fd_;
  const Directory* open_directory_ = nullptr;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_DIRECTORY_TABLE_H_
