#include "native/coverage/moved_files.h"

#include "native/coverage/file_handle.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {
namespace {

constexpr uint64_t kOwnEvents = FAN_ATTRIB | FAN_MOVE_SELF | FAN_DELETE_SELF;
// Their end may be missed.
constexpr size_t kMostUnreachable = 10'000;

}  // namespace

void MovedFiles::SetPlan(const Plan* plan) {
  plan_ = plan;
  std::vector<FileIdentity> uncovered;
  for (auto& [identity, entry] : files_) {
    entry.rules = plan->MatchFile(entry.file.protected_path).rules;
    if (entry.rules == nullptr || plan->PermissionMask(*entry.rules) == 0)
      uncovered.push_back(identity);
  }
  for (const FileIdentity& identity : uncovered) Drop(identity);
}

UniqueFd MovedFiles::Open(const CoveredObject& object) const {
  const Entry* entry = Find(object.status.identity);
  return entry == nullptr ? UniqueFd() : Open(object, entry->file.path);
}

UniqueFd MovedFiles::Open(const CoveredObject& object, std::string near) const {
  if (object.handle_key.empty()) return UniqueFd();
  // Any directory of the same filesystem does; the file's own may have gone.
  while (!near.empty()) {
    const UniqueFd mount = table_.disk().OpenDirectoryFollowing(near);
    const auto status = mount ? FileStatusOf(mount.get()) : std::nullopt;
    if (status && status->identity.dev == object.status.identity.dev) {
      return OpenByHandleKey(mount.get(), object.handle_key);
    }
    near.resize(near.rfind('/'));
  }
  const UniqueFd root = table_.disk().OpenDirectory("/");
  return root ? OpenByHandleKey(root.get(), object.handle_key) : UniqueFd();
}

bool MovedFiles::Keep(CoveredObject& object, const KnownName& last, const Directory& directory,
                      bool renamed) {
  if (!object.status.IsRegular() || plan_ == nullptr || plan_->PermissionMask(*last.rules) == 0)
    return false;
  const std::string& protected_path = last.covered_path;
  const UniqueFd fd = Open(object, table_.PathOf(directory));
  const auto status = fd ? FileStatusOf(fd.get()) : std::nullopt;
  if (!status) {
    // A filesystem whose handles can't be opened: only a mark that is there already can go on
    // guarding it, and tell its end. Where nothing is told it may have another name or none: kept.
    const bool has_other_name = renamed || object.status.nlink > 1;
    const bool tells_end = (object.notification_mask & FAN_DELETE_SELF) != 0;
    const bool tells_nothing = object.notification_mask == 0;
    return object.permission_mask != 0 && (tells_nothing || (tells_end && has_other_name)) &&
           files_.size() < kMostUnreachable && Guard(object, -1, {}, protected_path);
  }
  if (status->nlink == 0 || !status->SameFile(object.status)) return false;
  return Guard(object, fd.get(), table_.disk().PathOf(fd.get()), protected_path);
}

bool MovedFiles::Guard(CoveredObject& object, int fd, const std::string& path,
                       const std::string& protected_path) {
  const MatchRef rules = plan_->MatchFile(protected_path).rules;
  const uint64_t permission = rules == nullptr ? 0 : plan_->PermissionMask(*rules);
  if (permission == 0) return false;
  if (fd >= 0)
    (void)marks_.SetFile(object, fd, permission, plan_->ContentEvents(*rules) | kOwnEvents,
                         walk_.For());
  object.moved = true;
  const FileIdentity identity = object.status.identity;
  files_[identity] = {{identity, object.status.birth_ns, path, protected_path}, rules, fd >= 0};
  walk_.Send(
      AddName{walk_.workload(), identity, object.status.birth_ns, {protected_path, rules, true}});
  return true;
}

void MovedFiles::Restore(const std::vector<MovedFile>& files) {
  for (const MovedFile& file : files) {
    const UniqueFd fd = table_.disk().OpenPath(file.path);
    const auto status = fd ? FileStatusOf(fd.get()) : std::nullopt;
    if (!status || !(status->identity == file.identity) || status->birth_ns != file.birth_ns)
      continue;
    if (table_.FindObject(file.identity) != nullptr) continue;  // it has a covered name
    CoveredObject& object = table_.AddObject(*status);
    table_.SetHandle(object, HandleKey(fd.get(), ""));
    if (!Guard(object, fd.get(), file.path, file.protected_path))
      table_.RemoveObject(file.identity);
  }
}

const MovedFiles::Entry* MovedFiles::Find(const FileIdentity& identity) const {
  const auto found = files_.find(identity);
  return found == files_.end() ? nullptr : &found->second;
}

bool MovedFiles::LookAgain(CoveredObject& object, bool deleted) {
  Entry& entry = files_[object.status.identity];
  if (entry.reachable) {
    const UniqueFd fd = Open(object);
    entry.file.path = fd ? table_.disk().PathOf(fd.get()) : std::string();
  }
  const bool gone = entry.reachable ? entry.file.path.empty() : deleted;
  if (gone) Drop(object.status.identity);
  return !gone;
}

void MovedFiles::Returned(const FileIdentity& identity) {
  const auto found = files_.find(identity);
  if (found == files_.end()) return;
  walk_.Send(RemoveName{walk_.workload(), identity, found->second.file.protected_path});
  files_.erase(found);
  if (CoveredObject* object = table_.FindObject(identity)) object->moved = false;
}

bool MovedFiles::Release(std::string_view path) {
  for (const auto& [identity, entry] : files_) {
    if (entry.file.path != path && entry.file.protected_path != path) continue;
    Drop(identity);
    return true;
  }
  return false;
}

void MovedFiles::Drop(const FileIdentity& by_identity) {
  const FileIdentity identity = by_identity;  // it may live in what is erased
  if (CoveredObject* object = table_.FindObject(identity)) {
    const UniqueFd fd = Open(*object);
    marks_.ForgetFile(*object, fd.get());
    table_.RemoveObject(identity);
  }
  files_.erase(identity);
  walk_.Send(RemoveIdentity{walk_.workload(), identity});
}

std::vector<MovedFile> MovedFiles::List() const {
  std::vector<MovedFile> list;
  for (const auto& [identity, entry] : files_) list.push_back(entry.file);
  return list;
}

void MovedFiles::FillTable(ObjectTable& table) const {
  for (const auto& [identity, entry] : files_) {
    table.Add(identity, entry.file.birth_ns, {entry.file.protected_path, entry.rules, true});
  }
}

}  // namespace fileward
