// The part of TreeWalk that takes out what a walk did not find, and says what is different.
#include <string_view>
#include <unordered_set>
#include <utility>

#include "native/coverage/file_handle.h"
#include "native/coverage/tree_walk.h"

namespace fileward {

void TreeWalk::ForgetMissing(Directory& directory, const std::vector<Entry>& entries,
                             Findings* findings) {
  if (directory.files.empty() && directory.children.empty()) return;
  std::unordered_set<std::string_view> present;
  for (const Entry& entry : entries) present.insert(entry.name);
  std::vector<std::string> gone;
  for (const auto& [name, known] : directory.files) {
    if (!present.contains(name)) gone.push_back(name);
  }
  for (const std::string& name : gone) {
    Look look = ForgetName(directory, name);
    if (findings != nullptr) AddFinding(*findings, look);
  }
  std::vector<Directory*> gone_directories;
  for (const auto& [name, child] : directory.children) {
    if (!present.contains(name)) gone_directories.push_back(child.get());
  }
  for (Directory* child : gone_directories) ForgetDirectory(*child, findings);
}

void TreeWalk::ForgetUnseenNames(Findings* findings) {
  std::vector<std::pair<Directory*, std::string>> unseen;
  table_.ForEachBelow(table_.root(), [&](Directory& directory) {
    for (const auto& [name, known] : directory.files) {
      if (known.generation != generation_) unseen.emplace_back(&directory, name);
    }
  });
  forgets_unseen_ = true;
  for (auto& [directory, name] : unseen) {
    Look look = ForgetName(*directory, name);
    if (findings != nullptr) AddFinding(*findings, look);
  }
  forgets_unseen_ = false;
}

void TreeWalk::TrimUnseen() {
  marks_.filesystems().Trim(workload_, whole_walk_);
  for (const Uncovered& file : std::exchange(uncovered_, {})) {
    if (table_.FindObject(file.identity) != nullptr) continue;
    const UniqueFd fd = table_.disk().OpenPath(file.path);
    const auto status = fd ? FileStatusOf(fd.get()) : std::nullopt;
    if (status && status->identity == file.identity)
      marks_.TakeBack(file.identity, fd.get(), file.masks.permission, file.masks.notification);
  }
  std::vector<Directory*> unseen;
  std::vector<Directory*> surplus;
  table_.ForEachBelow(table_.root(), [&](Directory& directory) {
    if (directory.generation != generation_) {
      if (directory.parent != nullptr && directory.parent->generation == generation_)
        unseen.push_back(&directory);
    } else if ((directory.permission_mask & ~directory.wanted_permission_mask) != 0 ||
               (directory.notification_mask & ~directory.wanted_notification_mask) != 0) {
      surplus.push_back(&directory);
    }
  });
  for (Directory* directory : surplus) marks_.TrimDirectory(*directory, table_.Open(*directory));
  for (Directory* directory : unseen) {
    table_.ForEachBelow(
        *directory, [&](Directory& below) { marks_.ForgetDirectory(below, table_.Open(below)); });
    table_.Remove(*directory, [](Directory&) {});
  }
  table_.ForEachObject([&](CoveredObject& object) {
    if (object.names.empty() || WantedFileMasks(object) == PlacedFileMasks(object)) return;
    const CoveredObject::Name& at = object.names.front();
    if (const int fd = table_.Open(*at.directory); fd >= 0) MarkObject(object, fd, at.name.c_str());
  });
  table_.Close();
}

void TreeWalk::ForgetDirectory(Directory& directory, Findings* findings) {
  table_.ForEachBelow(directory, [&](Directory& below) {
    std::vector<std::string> names;
    for (const auto& [name, known] : below.files) names.push_back(name);
    for (const std::string& name : names) {
      Look look = ForgetName(below, name);
      if (findings != nullptr) AddFinding(*findings, look);
    }
    plan_->SetVolume(table_.PathOf(below), {});
  });
  const UniqueFd mount = table_.disk().OpenDirectory(table_.PathOf(*directory.parent));
  table_.Remove(directory, [&](Directory& gone) {
    // It may live on somewhere else, where nothing may be held up for its sake.
    const UniqueFd fd = mount ? OpenByHandleKey(mount.get(), gone.key) : UniqueFd();
    marks_.ForgetDirectory(gone, fd.get());
  });
}

void TreeWalk::AvoidLayer(Directory& layer) {
  bool guarded = false;
  has_layers_ = true;
  table_.ForEachBelow(layer, [&](Directory& below) {
    below.in_layer = true;
    guarded = guarded || below.wanted_permission_mask != 0;
    below.wanted_permission_mask = 0;
    if (below.permission_mask != 0) marks_.TrimDirectory(below, table_.Open(below));
  });
  table_.ForEachObject([&](CoveredObject& object) {
    for (const CoveredObject::Name& at : object.names) {
      if (object.permission_mask == 0 || !at.directory->in_layer) continue;
      if (const int fd = table_.Open(*at.directory); fd >= 0)
        MarkObject(object, fd, at.name.c_str());
    }
  });
  if (guarded) ComplainOfLayer(layer);
}

void TreeWalk::AddFinding(Findings& findings, const Look& look) {
  Finding finding{Finding::Kind::kAppeared,
                  look.covered_path,
                  look.rules,
                  look.before,
                  look.after,
                  look.last_name};
  switch (look.result) {
    case Look::Result::kAppeared:
      break;
    case Look::Result::kVanished:
      finding.kind = Finding::Kind::kVanished;
      break;
    case Look::Result::kReplaced:
      finding.kind = Finding::Kind::kReplaced;
      break;
    case Look::Result::kSame:
      if (!look.after || !look.after->IsRegular()) return;
      if (look.before->SameContent(*look.after) && look.before->SameAttributes(*look.after)) return;
      finding.kind = Finding::Kind::kChanged;
      break;
    case Look::Result::kNotCovered:
      return;
  }
  findings.push_back(std::move(finding));
}

}  // namespace fileward
