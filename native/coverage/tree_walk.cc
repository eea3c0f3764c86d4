#include "native/coverage/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>

#include "native/coverage/file_handle.h"

namespace fileward {
namespace {

constexpr size_t kMaxTroubles = 100;

}  // namespace

void TreeWalk::SetPlan(Plan* plan, bool quiet) {
  plan_ = plan;
  quiet_ = quiet;
  marks_.SetLimit(plan->ruleset().max_marks());
}

void TreeWalk::Complain(Failure reason, const std::string& path, std::string detail) {
  if (reason == Failure::kWalkFailed || reason == Failure::kDepthLimit ||
      reason == Failure::kOverlayLayer || reason == Failure::kFilesystemMayHang ||
      reason == Failure::kStrictUnavailable) {
    CountFailure(reason);
  }
  const auto told = std::count_if(troubles_.begin(), troubles_.end(),
                                  [&](const Trouble& trouble) { return trouble.reason == reason; });
  if (static_cast<size_t>(told) < kMaxTroubles)
    troubles_.push_back({reason, path, std::move(detail)});
}

// Once for all that rules cover in it.
void TreeWalk::ComplainOfLayer(const Directory& within) {
  const Directory* layer = &within;
  while (layer->parent != nullptr && layer->parent->in_layer) layer = layer->parent;
  const std::string path = table_.PathOf(*layer);
  if (!HasTold(Failure::kOverlayLayer, path)) Complain(Failure::kOverlayLayer, path, kLayerDetail);
}

bool TreeWalk::HasTold(Failure reason, const std::string& path) const {
  return std::any_of(troubles_.begin(), troubles_.end(), [&](const Trouble& trouble) {
    return trouble.reason == reason && trouble.path == path;
  });
}

void TreeWalk::WalkAll(Findings* findings) {
  whole_walk_ = ++generation_;
  troubles_.clear();
  unguarded_.clear();
  has_layers_ = false;
  filesystems_.clear();
  walking_all_ = true;
  for (const std::string& path : plan_->way_directories()) AttachWay(path);
  for (const std::string& base : plan_->bases()) {
    if (Stopped()) return;
    Directory* directory = AttachWay(base);
    if (directory == nullptr) CoverAbsent(base);
    if (directory == nullptr || (directory->walked && directory->generation == generation_))
      continue;
    WalkFrom(*directory, findings);
  }
  walking_all_ = false;
}

Directory* TreeWalk::AttachWay(const std::string& path) {
  Directory* at = &table_.root();
  UniqueFd fd = table_.disk().OpenDirectory("/");
  if (!fd) return nullptr;
  if (at->key.empty()) {
    const auto status = FileStatusOf(fd.get());
    if (!status) return nullptr;
    table_.SetRootKey(DirectoryKey(fd.get(), status->identity), status->identity);
    // The host's own root may be one too, whose layers nobody can reach any more.
    at->in_layer = !table_.disk().is_host() && !MayGuard(fd.get(), status->identity);
    has_layers_ = has_layers_ || at->in_layer;
  }
  MarkWay(*at, fd.get());
  for (size_t start = 1; start < path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string name = path.substr(start, end - start);
    start = end + 1;
    if (Directory* known = table_.Child(*at, name);
        known != nullptr && known->generation == generation_) {
      at = known;  // this very walk was here
      fd.reset();
      continue;
    }
    if (!fd) fd = table_.disk().OpenDirectory(table_.PathOf(*at));
    fd = OpenChild(fd.get(), *at, name);
    if (!fd) return nullptr;
    at = AttachChild(*at, name, fd);
    if (at == nullptr) return nullptr;
    MarkWay(*at, fd.get());
  }
  return at;
}

UniqueFd TreeWalk::OpenChild(int fd, const Directory& directory, const std::string& name) {
  UniqueFd child = table_.disk().OpenDirectoryAt(fd, name);
  if (child || errno != EXDEV) return child;
  ComplainOfMount(table_.PathOf(directory, name));
  errno = EXDEV;
  return child;
}

void TreeWalk::ComplainOfMount(const std::string& path) {
  if (HasTold(Failure::kFilesystemMayHang, path)) return;
  Complain(Failure::kFilesystemMayHang, path, "a mount of the container's that may never answer");
}

void TreeWalk::MarkWay(Directory& directory, int fd) {
  if (directory.generation == generation_ || (directory.walked && !walking_all_)) return;
  directory.generation = generation_;
  directory.walked = false;
  directory.wanted_permission_mask = 0;
  directory.wanted_notification_mask = plan_->name_events();
  if (auto failed = marks_.CoverDirectory(directory, fd, For())) {
    Complain(failed->reason, table_.PathOf(directory), failed->detail);
  }
  if (const auto target = LinkTargetAt(fd, "..data")) {
    const std::string path = table_.PathOf(directory);
    plan_->SetVolume(path, target->starts_with('/') ? *target : JoinPath(path, *target));
  }
}

Directory* TreeWalk::AttachChild(Directory& parent, const std::string& name, const UniqueFd& fd) {
  const auto status = FileStatusOf(fd.get());
  if (!status) return nullptr;
  const bool crosses = status->identity.dev != parent.identity.dev;
  if (crosses && IsPseudoFilesystem(fd.get())) return nullptr;
  std::string key = DirectoryKey(fd.get(), status->identity);
  Directory* known = table_.FindByKey(key);
  if (known != nullptr && known->generation == generation_ &&
      (known->parent != &parent || known->name != name)) {
    // Seen elsewhere by this very walk: a bind mount shows one directory twice. Its marks guard
    // both, but only the first path is matched.
    Complain(Failure::kWalkFailed, table_.PathOf(parent, name),
             "also mounted at " + table_.PathOf(*known));
    return nullptr;
  }
  if (Directory* there = table_.Child(parent, name); there != nullptr && there->key != key) {
    ForgetDirectory(*there, nullptr);
  }
  Directory& child = table_.Attach(parent, name, std::move(key), status->identity);
  if (child.parent != &parent) return nullptr;
  child.in_layer = parent.in_layer || (layers_ != nullptr && layers_->IsLayer(status->identity)) ||
                   (crosses && !MayGuard(fd.get(), status->identity));
  has_layers_ = has_layers_ || child.in_layer;
  return &child;
}

bool TreeWalk::MayGuard(int fd, const FileIdentity& identity) const {
  return layers_ == nullptr || layers_->MayGuard(fd, identity.dev);
}

void TreeWalk::WalkFrom(Directory& directory, Findings* findings) {
  const std::string path = table_.PathOf(directory);
  UniqueFd fd = table_.disk().OpenDirectory(path);
  const auto status = fd ? FileStatusOf(fd.get()) : std::nullopt;
  if (!status || !(status->identity == directory.identity)) return;  // moved on: an event will tell
  Visit(directory, fd, path, 0, findings);
}

void TreeWalk::WalkAgain(Directory& directory) {
  ++generation_;
  WalkFrom(directory, nullptr);
}

void TreeWalk::Visit(Directory& directory, const UniqueFd& fd, const std::string& path,
                     uint32_t depth, Findings* findings) {
  if (before_directory) before_directory();
  const DirectoryNeeds needs = plan_->NeedsOf(path);
  directory.generation = generation_;
  directory.walked = true;
  directory.wanted_permission_mask = directory.in_layer ? 0 : needs.permission_mask;
  directory.wanted_notification_mask = needs.notification_mask;
  if (directory.in_layer && needs.permission_mask != 0) ComplainOfLayer(directory);
  if (!directory.in_layer && needs.recurse)
    CoverFilesystem(fd.get(), path, directory.identity.dev, plan_->FilesystemMask(path));
  if (auto failed = marks_.CoverDirectory(directory, fd.get(), For())) {
    ComplainOfMark(directory, path, *failed);
    // A container may make as many directories as it likes.
    if (failed->reason == Failure::kMarkLimit && !table_.disk().is_host()) return;
  }
  std::vector<Entry> entries;
  const bool read = ForEachEntry(fd.get(), [&](const char* name, unsigned char type) {
    entries.push_back({name, type});
  });
  if (!read) {
    // Removed meanwhile: there is nothing left to cover.
    if (errno != ENOENT) Complain(Failure::kWalkFailed, path, "getdents64");
    return;
  }
  const auto data = std::find_if(entries.begin(), entries.end(), [](const Entry& entry) {
    return entry.name == "..data" && entry.type == DT_LNK;
  });
  if (data != entries.end()) {
    if (const auto target = LinkTargetAt(fd.get(), "..data")) {
      plan_->SetVolume(path, target->starts_with('/') ? *target : JoinPath(path, *target));
      if (!table_.disk().is_host() && !directory.in_layer) marks_.CoverVolume(directory, fd.get());
    }
  }
  VisitEntries(directory, fd.get(), path, entries, needs, depth, findings);
  ForgetMissing(directory, entries, findings);
}

void TreeWalk::VisitEntries(Directory& directory, int fd, const std::string& path,
                            const std::vector<Entry>& entries, const DirectoryNeeds& needs,
                            uint32_t depth, Findings* findings) {
  constexpr size_t kBreathEntries = 512;
  for (size_t index = 0; index < entries.size(); ++index) {
    const Entry& entry = entries[index];
    if (index % kBreathEntries == kBreathEntries - 1 && before_directory) before_directory();
    if (Stopped()) return;
    unsigned char type = entry.type;
    if (type == DT_UNKNOWN) {
      const auto status = table_.disk().StatusAt(fd, entry.name);
      if (!status) continue;
      type = status->IsDirectory() ? DT_DIR : DT_REG;
    }
    const std::string entry_path = JoinPath(path, entry.name);
    if (type != DT_DIR) {
      if (!needs.files) continue;
      Look look = LookAtOpen(directory, fd, entry_path, entry.name, false);
      if (findings != nullptr) {
        AddFinding(*findings, look);
        Settle(look);
      }
      continue;
    }
    if (!plan_->NeedsOf(entry_path).recurse) {
      // The target of a volume before it was swapped: what took its place has its stable names.
      Directory* const known = table_.Child(directory, entry.name);
      if (known != nullptr && known->walked) ForgetDirectory(*known, nullptr);
      continue;
    }
    if (depth >= plan_->ruleset().max_depth()) {
      Complain(Failure::kDepthLimit, entry_path, "limits.depth");
      continue;
    }
    const UniqueFd child_fd = OpenChild(fd, directory, entry.name);
    if (!child_fd) {
      if (errno != ENOENT && errno != EXDEV) Complain(Failure::kWalkFailed, entry_path, "openat");
      continue;
    }
    Directory* child = AttachChild(directory, entry.name, child_fd);
    if (child == nullptr) continue;
    Visit(*child, child_fd, entry_path, depth + 1, findings);
  }
}

Directory* TreeWalk::TakeDirectory(Directory& parent, const std::string& name, Findings* findings) {
  const std::string path = table_.PathOf(parent, name);
  const bool way = plan_->way_directories().contains(path);
  const bool recurse = plan_->NeedsOf(path).recurse;
  const int parent_fd = table_.Open(parent);
  if ((!way && !recurse) || parent_fd < 0) return nullptr;
  const UniqueFd fd = OpenChild(parent_fd, parent, name);
  if (!fd) return nullptr;
  ++generation_;
  Directory* directory = AttachChild(parent, name, fd);
  if (directory == nullptr) return nullptr;
  if (recurse) {
    Visit(*directory, fd, path, DepthOf(path), findings);
  } else {
    MarkWay(*directory, fd.get());
    for (const std::string& further : plan_->way_directories()) {
      if (IsAtOrBelow(further, path) && further != path) AttachWay(further);
    }
  }
  return directory;
}

uint32_t TreeWalk::DepthOf(const std::string& path) const {
  uint32_t least = UINT32_MAX;
  for (const std::string& base : plan_->bases()) {
    if (!IsAtOrBelow(path, base)) continue;
    const auto begin = path.begin() + static_cast<std::ptrdiff_t>(base == "/" ? 0 : base.size());
    least = std::min(least, static_cast<uint32_t>(std::count(begin, path.end(), '/')));
  }
  return least == UINT32_MAX ? 0 : least;
}

}  // namespace fileward
