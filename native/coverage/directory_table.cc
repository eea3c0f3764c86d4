#include "native/coverage/directory_table.h"

#include <algorithm>
#include <utility>

namespace fileward {
namespace {

// Beyond it, or when nobody takes them, telling all is cheaper.
constexpr size_t kMaxChangedNames = 10'000;

bool HoldsFiles(const Directory& directory) {
  return !directory.files.empty() ||
         std::any_of(directory.children.begin(), directory.children.end(),
                     [](const auto& child) { return HoldsFiles(*child.second); });
}

}  // namespace

DirectoryTable::DirectoryTable(const RootDirectory& disk)
    : disk_(disk), root_(std::make_unique<Directory>()) {}

Directory* DirectoryTable::FindByKey(std::string_view key) {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : found->second;
}

Directory* DirectoryTable::Child(const Directory& directory, std::string_view name) {
  const auto found = directory.children.find(std::string(name));
  return found == directory.children.end() ? nullptr : found->second.get();
}

Directory* DirectoryTable::FindByPath(std::string_view path) {
  Directory* at = root_.get();
  size_t start = 1;
  while (at != nullptr && start < path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    at = Child(*at, path.substr(start, end - start));
    start = end + 1;
  }
  return at;
}

std::string DirectoryTable::PathOf(const Directory& directory) const {
  if (directory.parent == nullptr) return "/";
  size_t length = 0;
  for (const Directory* at = &directory; at->parent != nullptr; at = at->parent)
    length += at->name.size() + 1;
  std::string path(length, '/');
  for (const Directory* at = &directory; at->parent != nullptr; at = at->parent) {
    length -= at->name.size();
    path.replace(length, at->name.size(), at->name);
    --length;
  }
  return path;
}

std::string DirectoryTable::PathOf(const Directory& directory, std::string_view name) const {
  return JoinPath(PathOf(directory), name);
}

void DirectoryTable::SetRootKey(std::string key, const FileIdentity& identity) {
  if (!root_->key.empty()) by_key_.erase(root_->key);
  root_->key = std::move(key);
  root_->identity = identity;
  by_key_[root_->key] = root_.get();
}

Directory& DirectoryTable::Attach(Directory& parent, std::string_view name, std::string key,
                                  const FileIdentity& identity) {
  if (Directory* known = FindByKey(key); known != nullptr) {
    if (known->parent == &parent && known->name == name) return *known;
    for (const Directory* at = &parent; at != nullptr; at = at->parent) {
      if (at == known) return *known;
    }
    Move(*known, parent, name);
    return *known;
  }
  auto directory = std::make_unique<Directory>();
  directory->key = std::move(key);
  directory->identity = identity;
  directory->parent = &parent;
  directory->name = std::string(name);
  Directory& added = *directory;
  by_key_[added.key] = &added;
  parent.children[added.name] = std::move(directory);
  return added;
}

void DirectoryTable::Move(Directory& directory, Directory& new_parent, std::string_view new_name) {
  if (HoldsFiles(directory)) changed_ = {.all = true, .paths = {}, .covered_paths = {}};
  auto node = directory.parent->children.extract(directory.name);
  node.key() = std::string(new_name);
  directory.name = std::string(new_name);
  directory.parent = &new_parent;
  new_parent.children.insert(std::move(node));
}

void DirectoryTable::DropSubtree(Directory& directory,
                                 const std::function<void(Directory&)>& forget) {
  for (auto& [name, child] : directory.children) DropSubtree(*child, forget);
  forget(directory);
  std::vector<std::string> names;
  for (const auto& [name, known] : directory.files) names.push_back(name);
  for (const std::string& name : names) {
    const FileIdentity identity = directory.files[name].identity;
    if (RemoveName(directory, name)) RemoveObject(identity);
  }
  if (const auto found = by_key_.find(directory.key);
      found != by_key_.end() && found->second == &directory) {
    by_key_.erase(found);
  }
  if (open_directory_ == &directory) Close();
}

void DirectoryTable::Remove(Directory& directory, const std::function<void(Directory&)>& forget) {
  DropSubtree(directory, forget);
  directory.parent->children.erase(std::string(directory.name));
}

void DirectoryTable::ForEachBelow(Directory& directory,
                                  const std::function<void(Directory&)>& visit) {
  visit(directory);
  for (auto& [name, child] : directory.children) ForEachBelow(*child, visit);
}

int DirectoryTable::Open(const Directory& directory) {
  if (open_directory_ == &directory) return open_fd_.get();
  Close();
  UniqueFd fd = disk_.OpenDirectory(PathOf(directory));
  if (!fd) return -1;
  const auto status = FileStatusOf(fd.get());
  if (!status || !(status->identity == directory.identity)) return -1;
  open_fd_ = std::move(fd);
  open_directory_ = &directory;
  return open_fd_.get();
}

void DirectoryTable::Close() {
  open_fd_ = UniqueFd();
  open_directory_ = nullptr;
}

CoveredObject* DirectoryTable::FindObject(const FileIdentity& identity) {
  const auto found = objects_.find(identity);
  return found == objects_.end() ? nullptr : found->second.get();
}

CoveredObject* DirectoryTable::FindObjectByHandle(std::string_view handle_key) {
  const auto found = by_handle_.find(handle_key);
  return found == by_handle_.end() ? nullptr : found->second;
}

CoveredObject& DirectoryTable::AddObject(const FileStatus& status) {
  std::unique_ptr<CoveredObject>& object = objects_[status.identity];
  if (object == nullptr) {
    object = std::make_unique<CoveredObject>();
    object->status = status;
  }
  return *object;
}

CoveredObject& DirectoryTable::AddName(Directory& directory, const std::string& name,
                                       KnownName known, const FileStatus& status) {
  CoveredObject& object = AddObject(status);
  const bool listed = std::any_of(
      object.names.begin(), object.names.end(),
      [&](const CoveredObject::Name& at) { return at.directory == &directory && at.name == name; });
  if (!listed) object.names.push_back({&directory, name});
  const auto before = directory.files.find(name);
  const bool same = before != directory.files.end() && before->second.identity == known.identity &&
                    before->second.covered_path == known.covered_path;
  if (!same && before != directory.files.end()) NoteChanged(directory, name, before->second);
  if (!same) NoteChanged(directory, name, known);
  directory.files[name] = std::move(known);
  return object;
}

bool DirectoryTable::RemoveName(Directory& directory, const std::string& name) {
  const auto known = directory.files.find(name);
  if (known == directory.files.end()) return false;
  CoveredObject* object = FindObject(known->second.identity);
  NoteChanged(directory, name, known->second);
  directory.files.erase(known);
  if (object == nullptr) return false;
  std::erase_if(object->names, [&](const CoveredObject::Name& at) {
    return at.directory == &directory && at.name == name;
  });
  return object->names.empty();
}

void DirectoryTable::SetHandle(CoveredObject& object, std::string handle_key) {
  if (object.handle_key == handle_key) return;
  if (!object.handle_key.empty()) by_handle_.erase(object.handle_key);
  object.handle_key = std::move(handle_key);
  if (!object.handle_key.empty()) by_handle_[object.handle_key] = &object;
}

void DirectoryTable::NoteEager(CoveredObject& object) {
  if (!std::exchange(object.eager, true)) ++eager_count_;
}

void DirectoryTable::RemoveObject(const FileIdentity& identity) {
  const auto found = objects_.find(identity);
  if (found == objects_.end()) return;
  if (found->second->eager) --eager_count_;
  if (!found->second->handle_key.empty()) by_handle_.erase(found->second->handle_key);
  objects_.erase(found);
}

void DirectoryTable::ForEachObject(const std::function<void(CoveredObject&)>& visit) {
  for (auto& [identity, object] : objects_) visit(*object);
}

void DirectoryTable::NoteChanged(const CoveredObject& object) {
  for (const CoveredObject::Name& at : object.names)
    NoteChanged(*at.directory, at.name, at.directory->files.at(at.name));
}

void DirectoryTable::NoteChanged(const Directory& directory, std::string_view name,
                                 const KnownName& known) {
  if (changed_.all) return;
  if (changed_.paths.size() >= kMaxChangedNames) {
    changed_ = {.all = true, .paths = {}, .covered_paths = {}};
    return;
  }
  changed_.paths.insert(PathOf(directory, name));
  changed_.covered_paths.insert(known.covered_path);
}

ChangedNames DirectoryTable::TakeChanged() { return std::exchange(changed_, {}); }

}  // namespace fileward
