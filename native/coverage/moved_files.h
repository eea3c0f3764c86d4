// Block-protected files that an unlisted app took out of their rule's reach. Each keeps a mark on
// its inode in both groups and its place in the decision thread's table, under the name it had,
// until its last name goes, a listed app moves it on, it comes back, or it is released. Owned by
// the coverage thread.
#ifndef FILEWARD_COVERAGE_MOVED_FILES_H_
#define FILEWARD_COVERAGE_MOVED_FILES_H_

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "native/coverage/coverage.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/mark_set.h"
#include "native/coverage/plan.h"
#include "native/coverage/tree_walk.h"

namespace fileward {

class MovedFiles {
 public:
  MovedFiles(DirectoryTable& table, MarkSet& marks, TreeWalk& walk)
      : table_(table), marks_(marks), walk_(walk) {}

  // Takes the plan of a new ruleset: entries that no block rule covers any more go.
  void SetPlan(const Plan* plan);
  // Protects what an earlier run of the agent left.
  void Restore(const std::vector<MovedFile>& files);

  // `object` has just lost its last covered name, in `directory`; `renamed`: by a rename of it, so
  // that it has another. False: it has no other, or nothing protects it.
  bool Keep(CoveredObject& object, const KnownName& last, const Directory& directory, bool renamed);
  struct Entry {
    MovedFile file;
    MatchRef rules;
    // False where handles can't be opened (overlayfs): nobody knows where it is now.
    bool reachable = true;
  };
  const Entry* Find(const FileIdentity& identity) const;
  // It was moved on or, `deleted`, its inode is said to be gone: looks where it is; false when it
  // has no name any more and was dropped.
  bool LookAgain(CoveredObject& object, bool deleted);
  // It has a covered name again.
  void Returned(const FileIdentity& identity);
  // Ends its protection, by present or protected path.
  bool Release(std::string_view path);
  void Drop(const FileIdentity& identity);

  std::vector<MovedFile> List() const;
  void FillTable(ObjectTable& table) const;

 private:
  bool Guard(CoveredObject& object, int fd, const std::string& path,
             const std::string& protected_path);
  // `near` is or was a directory of the same filesystem.
  UniqueFd Open(const CoveredObject& object, std::string near) const;
  UniqueFd Open(const CoveredObject& object) const;

  DirectoryTable& table_;
  MarkSet& marks_;
  TreeWalk& walk_;
  const Plan* plan_ = nullptr;
  std::unordered_map<FileIdentity, Entry> files_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_MOVED_FILES_H_
