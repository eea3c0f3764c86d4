// The part of TreeWalk that deals with one covered name at a time.
#include <fcntl.h>

#include "native/coverage/extended_attributes.h"
#include "native/coverage/tree_walk.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {
namespace {

// Files beyond the ones that must have a mark of their own (literal path, several links, moved out)
// get one too, so that a link made to them or a move out of reach finds them guarded already. 1.1
// kB of pinned inode each on ext4.
constexpr size_t kMaxEagerFiles = 20'000;

}  // namespace

void TreeWalk::Send(ObjectUpdate update) {
  if (updates_ != nullptr && !quiet_) updates_->Send(std::move(update));
}

std::string TreeWalk::HandleAt(int dirfd, const std::string& name) const {
  const UniqueFd file = table_.disk().FindAt(dirfd, name);
  return file ? HandleKey(file.get(), "") : std::string();
}

bool TreeWalk::StillIs(const CoveredObject& object, const FileStatus& found, int dirfd,
                       const std::string& name) const {
  if (!object.status.SameFile(found)) return false;
  if (found.birth_ns != 0 || object.handle_key.empty()) return true;
  const std::string handle = HandleAt(dirfd, name);
  return handle.empty() || handle == object.handle_key;
}

bool TreeWalk::IsFull() const {
  constexpr size_t kShare = 4;
  return !table_.disk().is_host() && table_.object_count() >= plan_->ruleset().max_marks() / kShare;
}

TreeWalk::Look TreeWalk::LookAt(Directory& directory, const std::string& name, bool unignore) {
  const int dirfd = table_.Open(directory);
  if (dirfd < 0) return ForgetName(directory, name);
  return LookAtOpen(directory, dirfd, table_.PathOf(directory, name), name, unignore);
}

TreeWalk::Look TreeWalk::LookAtOpen(Directory& directory, int dirfd, const std::string& path,
                                    const std::string& name, bool unignore) {
  Plan::Match match = plan_->MatchFile(path);
  if (match.rules == nullptr) return ForgetName(directory, name);
  const auto status = table_.disk().StatusAt(dirfd, name);
  if (!status && errno == EXDEV) ComplainOfMount(path);
  if (!status || status->IsDirectory()) return ForgetName(directory, name);

  Look look;
  look.covered_path = match.covered_path;
  look.rules = match.rules;
  look.after = status;
  const auto known = directory.files.find(name);
  if (known == directory.files.end() && IsFull() && !plan_->IsLiteral(path)) {
    Complain(Failure::kMarkLimit, path, "limits.marks");
    return {};
  }
  const CoveredObject* before =
      known == directory.files.end() ? nullptr : table_.FindObject(known->second.identity);
  look.result = Look::Result::kAppeared;
  if (before != nullptr) {
    look.before = before->status;
    look.old_identity = known->second.identity;
    look.result =
        StillIs(*before, *status, dirfd, name) ? Look::Result::kSame : Look::Result::kReplaced;
  }
  const bool told = look.result == Look::Result::kSame && known->second.rules == match.rules &&
                    known->second.covered_path == match.covered_path;
  const std::string old_path = before == nullptr ? std::string() : known->second.covered_path;
  if (look.result == Look::Result::kReplaced)
    look.last_name = ForgetName(directory, name).last_name;

  CoveredObject* stale = table_.FindObject(status->identity);
  if (stale != nullptr && !StillIs(*stale, *status, dirfd, name))
    DropObject(*stale);  // the inode number was used again
  CoveredObject& object = table_.AddName(
      directory, name, {status->identity, match.rules, match.covered_path, generation_}, *status);
  object.status.nlink = status->nlink;
  if (object.written_since_ns == 0 && object.status.ctime_ns != status->ctime_ns) {
    object.status.TakeInodeTimeOf(*status);
    table_.NoteChanged(object);
  }
  if (object.moved && object_returned) object_returned(status->identity);
  if (!status->IsRegular()) return look;
  if (look.result == Look::Result::kSame && old_path != match.covered_path) {
    Send(RemoveName{workload_, status->identity, old_path});
  }
  if (!told) {
    Send(AddName{
        workload_, status->identity, status->birth_ns, {match.covered_path, match.rules, false}});
    // An opener for whom other rules speak may have had it muted.
    const bool may_be_muted = unignore || marks_.is_shared() || marks_.filesystems().count() > 0;
    if (may_be_muted && updates_ != nullptr && !quiet_) {
      UniqueFd file = table_.disk().FindAt(dirfd, name);
      if (file) Send(Unignore{std::move(file)});
    }
  }
  MarkObject(object, dirfd, name.c_str());
  const bool tells_attributes = (plan_->ContentEvents(*match.rules) & FAN_ATTRIB) != 0;
  if (!object.extended_attributes && tells_attributes && updates_ != nullptr)
    object.extended_attributes = ExtendedAttributesAt(dirfd, name.c_str());
  return look;
}

TreeWalk::FileMasks TreeWalk::PlacedFileMasks(const CoveredObject& object) {
  return {object.permission_mask, object.notification_mask, false};
}

TreeWalk::FileMasks TreeWalk::WantedFileMasks(const CoveredObject& object) const {
  const bool placed = object.permission_mask != 0 || object.notification_mask != 0;
  FileMasks masks;
  masks.needed = object.moved || object.status.nlink > 1;
  bool in_layer = false;
  uint64_t of_directories = 0;
  MatchSet rules;
  for (const CoveredObject::Name& at : object.names) {
    in_layer = in_layer || at.directory->in_layer;
    of_directories |= at.directory->permission_mask;
    const auto known = at.directory->files.find(at.name);
    if (known == at.directory->files.end()) continue;
    rules.insert(rules.end(), known->second.rules->begin(), known->second.rules->end());
    masks.needed = masks.needed || plan_->IsLiteral(table_.PathOf(*at.directory, at.name));
  }
  if (!masks.needed && !placed &&
      (table_.eager_count() >= kMaxEagerFiles || !marks_.HasRoomForFiles())) {
    masks.unguarded = !in_layer && plan_->PermissionMask(rules) != 0;
    return masks;
  }
  MakeSet(rules);
  masks.permission = in_layer ? 0 : plan_->PermissionMask(rules);
  // Where the filesystem doesn't ask before reads and writes, its directories have shown it.
  if ((of_directories & FAN_PRE_ACCESS) == 0) masks.permission &= ~uint64_t{FAN_PRE_ACCESS};
  // The number of links is told only to a mark on the file itself.
  masks.notification = plan_->ContentEvents(rules) | FAN_ATTRIB;
  // Where it can't be found again by its handle, its mark goes on as it is when it is moved out.
  const WorkloadRoot& root = table_.disk().where();
  if (masks.permission != 0 && root.own_filesystem && object.status.identity.dev == root.dev)
    masks.notification |= FAN_MOVE_SELF | FAN_DELETE_SELF;
  return masks;
}

void TreeWalk::MarkObject(CoveredObject& object, int dirfd, const char* name) {
  if (!object.status.IsRegular()) return;
  const FileMasks placed = PlacedFileMasks(object);
  FileMasks wanted = WantedFileMasks(object);
  if (wanted.unguarded) ComplainOfLinks(object);
  if (wanted == placed) return;
  const UniqueFd file = table_.disk().FindAt(dirfd, name);
  const auto status = file ? FileStatusOf(file.get()) : std::nullopt;
  if (!status || !(status->identity == object.status.identity))
    return;  // replaced meanwhile: an event will tell
  // A file that is mounted by itself may come from an overlay that its directory isn't on.
  const FileIdentity& at =
      object.names.empty() ? status->identity : object.names.front().directory->identity;
  if (wanted.permission != 0 && at.dev != status->identity.dev &&
      !MayGuard(file.get(), status->identity))
    wanted.permission = 0;
  // Also where a mark is refused: to be found again when it is moved out.
  if (object.handle_key.empty()) table_.SetHandle(object, HandleKey(file.get(), ""));
  if (auto failed =
          marks_.SetFile(object, file.get(), wanted.permission, wanted.notification, For())) {
    Complain(failed->reason, name, failed->detail);
    return;
  }
  if (placed == FileMasks{} && !wanted.needed) table_.NoteEager(object);
}

// A link that is made to it outside is seen by nobody, and so is what is opened there. Once for
// each set of rules.
void TreeWalk::ComplainOfLinks(const CoveredObject& object) {
  const CoveredObject::Name& at = object.names.front();
  const auto asked = filesystems_.find(at.directory->identity.dev);
  if (asked != filesystems_.end() && asked->second.refused.empty() &&
      (asked->second.mask & FAN_OPEN_PERM) != 0)
    return;
  if (!unguarded_.insert(at.directory->files.at(at.name).rules).second) return;
  Complain(Failure::kMarkLimit, table_.PathOf(*at.directory),
           "more files than may have a mark of their own: hard links elsewhere are not guarded");
}

void TreeWalk::Settle(const Look& look) {
  if (!look.after) return;
  CoveredObject* object = table_.FindObject(look.after->identity);
  if (object == nullptr) return;
  object->status = *look.after;
  table_.NoteChanged(*object);
}

TreeWalk::Look TreeWalk::ForgetName(Directory& directory, const std::string& name) {
  Look look;
  const auto known = directory.files.find(name);
  if (known == directory.files.end()) return look;
  const KnownName last = known->second;
  look.result = Look::Result::kVanished;
  look.covered_path = last.covered_path;
  look.rules = last.rules;
  look.old_identity = last.identity;
  CoveredObject* object = table_.FindObject(last.identity);
  if (object != nullptr) look.before = object->status;
  look.last_name = table_.RemoveName(directory, name);
  const bool is_last = look.last_name && object != nullptr;
  // What is kept is told so under this very name: in between nobody would know it.
  const bool kept = is_last && keep_object && keep_object(*object, last, directory);
  if (!kept) Send(RemoveName{workload_, last.identity, last.covered_path});
  if (is_last && !kept) {
    const FileMasks masks = PlacedFileMasks(*object);
    if (forgets_unseen_ && !(masks == FileMasks{}))
      uncovered_.push_back({table_.PathOf(directory, name), last.identity, masks});
    DropObject(*object);
  }
  return look;
}

void TreeWalk::DropObject(CoveredObject& object) {
  const FileIdentity identity = object.status.identity;
  while (!object.names.empty()) {
    const CoveredObject::Name at = object.names.back();
    table_.RemoveName(*at.directory, at.name);
  }
  marks_.ForgetFile(object, -1);
  Send(RemoveIdentity{workload_, identity});
  table_.RemoveObject(identity);
}

void TreeWalk::FillTable(ObjectTable& table) const {
  table_.ForEachObject([&](CoveredObject& object) {
    if (!object.status.IsRegular()) return;
    for (const CoveredObject::Name& at : object.names) {
      const KnownName& known = at.directory->files.at(at.name);
      table.Add(object.status.identity, object.status.birth_ns,
                {known.covered_path, known.rules, false});
    }
  });
}

}  // namespace fileward
