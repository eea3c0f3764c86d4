// Notification events, one at a time: brings the directory table in step with the disk and writes
// the facts.
//
// Contract: whatever an event says is checked against the disk, so that events may come late,
// twice, or after a walk has seen their effect; only what really changed becomes a fact. Names
// first (name_changes.cc, directory_changes.cc), then content (content_changes.cc). Owned by the
// coverage thread.
#ifndef FILEWARD_COVERAGE_CHANGES_H_
#define FILEWARD_COVERAGE_CHANGES_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "native/coverage/access_tracker.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/fact_writer.h"
#include "native/coverage/judged_index.h"
#include "native/coverage/moved_files.h"
#include "native/coverage/notification_reader.h"
#include "native/coverage/plan.h"
#include "native/coverage/tree_walk.h"

namespace fileward {

class Changes {
 public:
  Changes(DirectoryTable& table, TreeWalk& walk, MovedFiles& moved, FactWriter& facts,
          JudgedIndex& judged);

  void SetPlan(Plan* plan) { plan_ = plan; }
  // `doubtful`: another file somewhere has the same key (overlays of one image), and the event may
  // be about that one; only what the disk confirms is told.
  void Handle(const Noted& noted, bool doubtful = false);
  // What has waited long enough: links without a name, halves of renames, writes that nobody
  // closed, reads.
  void Tick(uint64_t now_ns);
  // CLOCK_MONOTONIC at which Tick has something to do; UINT64_MAX: nothing waits.
  uint64_t NextTick() const;

  // Facts for differences that a walk found instead of an event.
  void WriteFindings(const Findings& findings, const Source& source);
  // Whether a block-protected file that loses its covered name now stays protected elsewhere.
  void SetKeepsMoved(bool keeps) {
    keeps_moved_ = keeps;
    renamed_ = {};
    renames_directory_ = false;
  }

  // A name changed that decides where a pattern (an app's path) leads.
  std::function<void(const std::string& path, const Source& source)> resolution_changed;
  std::function<void(const std::string& path, const Source& source)> app_changed;

 private:
  struct PendingLink {
    FileIdentity identity;
    Source source;
    uint64_t due_ns;
  };
  struct HalfRename {
    Noted noted;
    uint64_t due_ns;
  };

  void HandleName(const Noted& noted, const Source& source);
  void HandleMoveHalves(const Noted& noted, const Source& source);

  // name_changes.cc
  void Created(Directory& directory, const std::string& name, const std::string& handle,
               Source source);
  void Deleted(Directory& directory, const std::string& name, const std::string& handle,
               Source source);
  void Renamed(const NotificationEvent& event, const Source& source);
  void FileRenamed(Directory* from, const std::string& old_name, Directory* to,
                   const std::string& new_name, const std::string& handle, Source source);
  void NoteName(const std::string& path, const Source& source);
  // What happens to `path` (empty: not known) on this device gives no record.
  bool IsSilent(const Source& source, uint64_t dev, const std::string& path) const;
  std::optional<CoveredBy> CoverOf(const Directory* directory, const std::string& name) const;

  // directory_changes.cc
  void DirectoryCreated(Directory& parent, const std::string& name, const Source& source);
  void DirectoryDeleted(Directory& parent, const std::string& name, const std::string& handle,
                        const Source& source);
  void DirectoryRenamed(Directory* from, const std::string& old_name, Directory* to,
                        const std::string& new_name, const Source& source);
  struct Contents {
    std::vector<CoveredBy> rules;  // each distinct set once
    uint64_t files = 0;
  };
  Contents ContentsOf(Directory* directory);

  // content_changes.cc
  void Content(const Noted& noted, Directory* directory, const std::string& name,
               const Source& source);
  CoveredObject* ObjectOf(const Noted& noted, Directory* directory, const std::string& name);
  std::vector<CoveredBy> NamesOf(const CoveredObject& object) const;
  std::optional<FileStatus> Current(const CoveredObject& object) const;
  std::string ReachedBy(const Noted& noted, const CoveredObject& object, Directory* directory,
                        const std::string& name) const;
  void Written(CoveredObject& object, const std::string& path, const Source& source);
  void Closed(CoveredObject& object, const std::string& path, bool written, const Source& source);
  bool TakeExtendedAttributes(CoveredObject& object) const;
  void Attributes(CoveredObject& object, const std::string& path, const Source& source);
  void MovedFileEvent(CoveredObject& object, uint64_t mask, const Source& source);

  DirectoryTable& table_;
  TreeWalk& walk_;
  MovedFiles& moved_;
  FactWriter& facts_;
  JudgedIndex& judged_;
  AccessTracker access_;
  Plan* plan_ = nullptr;
  bool keeps_moved_ = true;
  // What the rename at hand takes along.
  FileIdentity renamed_;
  bool renames_directory_ = false;
  std::vector<PendingLink> pending_links_;
  std::deque<HalfRename> half_renames_;
  std::deque<std::pair<FileIdentity, uint64_t>> written_;  // to be settled, and when
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_CHANGES_H_
