// The part of Changes that deals with directories: made, deleted, moved into, within and out of
// covered trees; and with what walks found in them.
#include <algorithm>
#include <utility>

#include "native/coverage/changes.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

// What is found in a new directory was put there before its mark. Its maker did it for certain only
// if nobody else could have: it is still there and runs what it ran, the directory is its own and
// closed to others.
bool MakerFilledIt(const Source& source, const FileStatus& directory) {
  if (source.actor == nullptr || source.actor->state != ActorState::kKnown) return false;
  const ProcessSnapshot& maker = source.actor->process;
  const auto now = StatusOf(maker.pid);
  if (!now || now->zombie || ExeIdentity(maker.pid) != maker.exe) return false;
  return (directory.mode & (S_IWGRP | S_IWOTH)) == 0 && directory.uid == maker.euid;
}

}  // namespace

void Changes::DirectoryCreated(Directory& parent, const std::string& name, const Source& source) {
  Findings findings;
  const Directory* made = walk_.TakeDirectory(parent, name, &findings);
  if (made == nullptr || findings.empty()) return;
  const int fd = table_.Open(*made);
  const auto status = fd < 0 ? std::nullopt : FileStatusOf(fd);
  Source filler = source;
  if (!status || !MakerFilledIt(source, *status)) {
    filler.actor = nullptr;
    filler.found_on_rescan = true;
  }
  filler.silent = IsSilent(source, made->identity.dev, table_.PathOf(*made));
  WriteFindings(findings, filler);
}

void Changes::DirectoryDeleted(Directory& parent, const std::string& name,
                               const std::string& handle, const Source& source) {
  Directory* child = table_.Child(parent, name);
  if (child == nullptr || (!handle.empty() && child->key != handle)) return;
  const std::string path = table_.PathOf(*child);
  const Contents contents = ContentsOf(child);
  walk_.ForgetDirectory(*child, nullptr);
  if (contents.files == 0) return;  // the rule: each file in it was deleted before
  Fact fact;
  fact.change = Change::kDirectoryDeleted;
  fact.flags = EventFlag::kDirectory;
  fact.names = contents.rules;
  fact.path = path;
  fact.count = contents.files;
  Source actor = source;
  actor.silent = IsSilent(source, parent.identity.dev, {});
  facts_.Write(fact, actor);
}

Changes::Contents Changes::ContentsOf(Directory* directory) {
  Contents contents;
  if (directory == nullptr) return contents;
  table_.ForEachBelow(*directory, [&](Directory& below) {
    for (const auto& [name, known] : below.files) {
      ++contents.files;
      const bool counted =
          std::any_of(contents.rules.begin(), contents.rules.end(),
                      [&](const CoveredBy& by) { return by.rules == known.rules; });
      if (!counted) contents.rules.push_back({known.covered_path, known.rules});
    }
  });
  return contents;
}

void Changes::DirectoryRenamed(Directory* from, const std::string& old_name, Directory* to,
                               const std::string& new_name, const Source& source) {
  Directory* child = from == nullptr ? nullptr : table_.Child(*from, old_name);
  const std::string old_path = from == nullptr ? std::string() : table_.PathOf(*from, old_name);
  const std::string new_path = to == nullptr ? std::string() : table_.PathOf(*to, new_name);
  const Contents before = ContentsOf(child);
  const Contents replaced = ContentsOf(to == nullptr ? nullptr : table_.Child(*to, new_name));
  Fact fact;
  fact.change = Change::kDirectoryMoved;
  fact.flags = EventFlag::kDirectory;
  fact.names = before.rules;
  const uint64_t dev = from != nullptr ? from->identity.dev : to != nullptr ? to->identity.dev : 0;
  SetKeepsMoved(!before.rules.empty() && !facts_.Judge(before.rules, source).listed &&
                !IsSilent(source, dev, {}));
  renames_directory_ = true;
  // Taking it in at its new place moves it in the table, marks and all, and matches every file
  // again.
  Directory* taken = to == nullptr ? nullptr : walk_.TakeDirectory(*to, new_name, nullptr);
  child = from == nullptr ? nullptr : table_.Child(*from, old_name);
  if (child != nullptr && child != taken) {
    const int fd = table_.Open(*from);
    const auto status = fd < 0 ? std::nullopt : table_.disk().StatusAt(fd, old_name);
    if (!status || !(status->identity == child->identity)) walk_.ForgetDirectory(*child, nullptr);
  }
  SetKeepsMoved(true);
  const Contents after = ContentsOf(taken);
  if (before.files == 0 && after.files == 0) return;
  if (after.files > 0) {
    fact.flags |= EventFlag::kRenameTargetCovered;
    fact.names.insert(fact.names.end(), after.rules.begin(), after.rules.end());
  }
  if (replaced.files > 0) fact.flags |= EventFlag::kReplaced;
  fact.count = std::max(before.files, after.files);
  fact.path = before.files > 0 ? old_path : new_path;
  fact.new_path = before.files > 0 ? new_path : old_path;
  Source actor = source;
  actor.silent = IsSilent(source, dev, old_path) || IsSilent(source, dev, new_path);
  facts_.Write(fact, actor);
}

void Changes::WriteFindings(const Findings& findings, const Source& source) {
  for (const Finding& finding : findings) {
    Fact fact;
    fact.names = {{finding.path, finding.rules}};
    fact.before = finding.before;
    fact.after = finding.after;
    switch (finding.kind) {
      case Finding::Kind::kAppeared:
        fact.change =
            finding.after && finding.after->IsRegular() ? Change::kCreated : Change::kMade;
        break;
      case Finding::Kind::kVanished:
        fact.change = Change::kDeleted;
        if (finding.last_name) fact.flags = EventFlag::kUnlinked;
        break;
      case Finding::Kind::kReplaced:
        fact.change = Change::kRenamed;
        fact.flags = EventFlag::kReplaced | EventFlag::kRenameTargetCovered;
        break;
      case Finding::Kind::kChanged:
        fact.change = finding.before->SameContent(*finding.after) ? Change::kAttributes
                                                                  : Change::kClosedWrite;
        break;
    }
    facts_.Write(fact, source);
  }
}

}  // namespace fileward
