// The part of Changes that deals with names of files: created, deleted, renamed, linked.
#include <algorithm>
#include <utility>

#include "native/base/clock.h"
#include "native/coverage/changes.h"
#include "native/coverage/file_handle.h"

namespace fileward {
namespace {

constexpr uint64_t kHalfRenameNs = 100'000'000;
constexpr uint64_t kNameEventBits =
    FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_MOVED_FROM | FAN_MOVED_TO;

}  // namespace

Changes::Changes(DirectoryTable& table, TreeWalk& walk, MovedFiles& moved, FactWriter& facts,
                 JudgedIndex& judged)
    : table_(table), walk_(walk), moved_(moved), facts_(facts), judged_(judged), access_(facts) {
  walk_.keep_object = [this](CoveredObject& object, const KnownName& last,
                             const Directory& directory) {
    const bool renamed = renames_directory_ || object.status.identity == renamed_;
    return keeps_moved_ && moved_.Keep(object, last, directory, renamed);
  };
  walk_.object_returned = [this](const FileIdentity& identity) { moved_.Returned(identity); };
}

bool Changes::IsSilent(const Source& source, uint64_t dev, const std::string& path) const {
  return source.silent || !facts_.RulesSpeak(source, dev) ||
         (!path.empty() && plan_->IsVolumeInternal(path));
}

void Changes::Handle(const Noted& noted, bool doubtful) {
  if (noted.event.overflow) return;
  Source source;
  source.actor = noted.actor;
  source.time_ns = noted.time_ns;
  source.read_ns = noted.read_ns;
  source.silent = noted.own;
  source.doubtful = doubtful;
  if ((noted.event.mask & kNameEventBits) != 0) HandleName(noted, source);
  if ((noted.event.mask & FAN_ONDIR) != 0) return;
  const auto& at = noted.event.name;
  Directory* directory = at ? table_.FindByKey(at->directory_handle) : nullptr;
  Content(noted, directory, at ? at->name : std::string(), source);
  if ((noted.event.mask & FAN_DELETE) != 0 && directory != nullptr) {
    Deleted(*directory, at->name, noted.event.object_handle, source);
  }
}

void Changes::HandleName(const Noted& noted, const Source& source) {
  const NotificationEvent& event = noted.event;
  if ((event.mask & FAN_RENAME) != 0) Renamed(event, source);
  if ((event.mask & (FAN_MOVED_FROM | FAN_MOVED_TO)) != 0) HandleMoveHalves(noted, source);
  Directory* directory = event.name ? table_.FindByKey(event.name->directory_handle) : nullptr;
  if (directory == nullptr || (event.mask & (FAN_CREATE | FAN_DELETE)) == 0) return;
  const std::string& name = event.name->name;
  NoteName(table_.PathOf(*directory, name), source);
  if ((event.mask & FAN_ONDIR) == 0) {
    if ((event.mask & FAN_CREATE) != 0) Created(*directory, name, event.object_handle, source);
    return;  // a deletion comes behind the changes of content that merged with it
  }
  if ((event.mask & FAN_CREATE) != 0) DirectoryCreated(*directory, name, source);
  if ((event.mask & FAN_DELETE) != 0)
    DirectoryDeleted(*directory, name, event.object_handle, source);
}

// Kernels before FAN_RENAME tell the two halves one by one; they belong together by the object that
// moved.
void Changes::HandleMoveHalves(const Noted& noted, const Source& source) {
  const NotificationEvent& event = noted.event;
  if ((event.mask & FAN_MOVED_FROM) != 0) {
    HalfRename half;
    half.noted.event.mask = FAN_RENAME | (event.mask & FAN_ONDIR);
    half.noted.event.pid = event.pid;
    half.noted.event.old_name = event.name;
    half.noted.event.object_handle = event.object_handle;
    half.noted.actor = noted.actor;
    half.noted.time_ns = noted.time_ns;
    half.noted.read_ns = noted.read_ns;
    half.noted.own = noted.own;
    half.due_ns = noted.read_ns + kHalfRenameNs;
    half_renames_.push_back(std::move(half));
  }
  if ((event.mask & FAN_MOVED_TO) == 0) return;
  NotificationEvent whole;
  whole.mask = FAN_RENAME | (event.mask & FAN_ONDIR);
  whole.new_name = event.name;
  whole.object_handle = event.object_handle;
  const auto from =
      std::find_if(half_renames_.begin(), half_renames_.end(), [&](const HalfRename& half) {
        return half.noted.event.pid == event.pid &&
               half.noted.event.object_handle == event.object_handle;
      });
  if (from != half_renames_.end()) {
    whole.old_name = from->noted.event.old_name;
    half_renames_.erase(from);
  }
  Renamed(whole, source);
}

void Changes::NoteName(const std::string& path, const Source& source) {
  const size_t slash = path.rfind('/');
  if (path.compare(slash, std::string::npos, "/..data") == 0) {
    resolution_changed(path, source);
  } else if (plan_->DecidesResolution(path)) {
    const Directory* directory = table_.FindByPath(slash == 0 ? "/" : path.substr(0, slash));
    const int fd = directory == nullptr ? -1 : table_.Open(*directory);
    const auto status = fd < 0 ? std::nullopt : table_.disk().StatusAt(fd, path.substr(slash + 1));
    if (plan_->WasLink(path) || (status && status->IsSymlink())) resolution_changed(path, source);
  }
  app_changed(path, source);
}

std::optional<CoveredBy> Changes::CoverOf(const Directory* directory,
                                          const std::string& name) const {
  if (directory == nullptr) return std::nullopt;
  if (const auto known = directory->files.find(name); known != directory->files.end()) {
    return CoveredBy{known->second.covered_path, known->second.rules};
  }
  Plan::Match match = plan_->MatchFile(table_.PathOf(*directory, name));
  if (match.rules == nullptr) return std::nullopt;
  return CoveredBy{std::move(match.covered_path), std::move(match.rules)};
}

void Changes::Created(Directory& directory, const std::string& name, const std::string& handle,
                      Source source) {
  const auto cover = CoverOf(&directory, name);
  if (!cover) return;
  source.silent = IsSilent(source, directory.identity.dev, table_.PathOf(directory, name));
  Fact fact;
  fact.change = Change::kCreated;
  fact.names = {*cover};
  const int fd = table_.Open(directory);
  const bool other_now = fd < 0 || (!handle.empty() && walk_.HandleAt(fd, name) != handle);
  if (other_now) {
    if (source.doubtful) return;
    // Gone or replaced already; what stands there now has an event of its own to come.
    facts_.Write(fact, source);
    return;
  }
  const auto status = table_.disk().StatusAt(fd, name);
  CoveredObject* linked = status ? table_.FindObject(status->identity) : nullptr;
  std::vector<CoveredBy> others;
  if (linked != nullptr && walk_.StillIs(*linked, *status, fd, name)) others = NamesOf(*linked);
  const TreeWalk::Look look = walk_.LookAt(directory, name, status && status->nlink > 1);
  if (look.result == TreeWalk::Look::Result::kSame) return;  // a walk was here first
  if (!look.after) {
    facts_.Write(fact, source);
    return;
  }
  CoveredObject* object = table_.FindObject(look.after->identity);
  if (object != nullptr && object->handle_key.empty()) table_.SetHandle(*object, handle);
  fact.after = look.after;
  if (!others.empty()) {
    fact.change = Change::kLinked;
    fact.path = others.front().path;
    fact.new_path = cover->path;
    fact.names.insert(fact.names.begin(), others.begin(), others.end());
    std::erase_if(pending_links_,
                  [&](const PendingLink& link) { return link.identity == look.after->identity; });
  } else if (!look.after->IsRegular()) {
    fact.change = Change::kMade;
  }
  if (look.result == TreeWalk::Look::Result::kReplaced) {
    fact.flags = EventFlag::kReplaced;
    fact.before = look.before;
  }
  if (source.actor != nullptr)
    fact.judged = judged_.Find(look.after->identity, source.actor->process.pid);
  facts_.Write(fact, source);
}

void Changes::Deleted(Directory& directory, const std::string& name, const std::string& handle,
                      Source source) {
  const auto cover = CoverOf(&directory, name);
  if (!cover) return;
  source.silent = IsSilent(source, directory.identity.dev, table_.PathOf(directory, name));
  Fact fact;
  fact.change = Change::kDeleted;
  fact.names = {*cover};
  const auto known = directory.files.find(name);
  CoveredObject* object =
      known == directory.files.end() ? nullptr : table_.FindObject(known->second.identity);
  if (object != nullptr) {
    const bool other =
        !handle.empty() && !object->handle_key.empty() && object->handle_key != handle;
    const int fd = table_.Open(directory);
    const auto status = fd < 0 ? std::nullopt : table_.disk().StatusAt(fd, name);
    if (other || (status && walk_.StillIs(*object, *status, fd, name)))
      object = nullptr;  // what is known came later
  }
  if (object == nullptr) {
    if (!source.doubtful) facts_.Write(fact, source);
    return;
  }
  if (object->handle_key.empty()) table_.SetHandle(*object, handle);
  fact.before = object->status;
  const bool only_link = object->status.nlink <= 1;
  const FileIdentity identity = object->status.identity;
  if (only_link) fact.flags = EventFlag::kUnlinked;
  const Decision decision = facts_.Write(fact, source);
  SetKeepsMoved(!decision.listed && !source.silent);
  walk_.ForgetName(directory, name);
  SetKeepsMoved(true);
  if (CoveredObject* left = table_.FindObject(identity)) {
    if (const auto now = Current(*left)) {
      left->status.nlink = now->nlink;
      left->status.TakeInodeTimeOf(*now);
      table_.NoteChanged(*left);
    }
  }
}

void Changes::Renamed(const NotificationEvent& event, const Source& source) {
  const auto& old_name = event.old_name;
  const auto& new_name = event.new_name;
  Directory* from = old_name ? table_.FindByKey(old_name->directory_handle) : nullptr;
  Directory* to = new_name ? table_.FindByKey(new_name->directory_handle) : nullptr;
  if (from != nullptr) NoteName(table_.PathOf(*from, old_name->name), source);
  if (to != nullptr) NoteName(table_.PathOf(*to, new_name->name), source);
  const std::string old_text = old_name ? old_name->name : std::string();
  const std::string new_text = new_name ? new_name->name : std::string();
  if ((event.mask & FAN_ONDIR) != 0) {
    DirectoryRenamed(from, old_text, to, new_text, source);
  } else {
    FileRenamed(from, old_text, to, new_text, event.object_handle, source);
  }
}

void Changes::FileRenamed(Directory* from, const std::string& old_name, Directory* to,
                          const std::string& new_name, const std::string& handle, Source source) {
  const auto old_cover = CoverOf(from, old_name);
  const auto new_cover = CoverOf(to, new_name);
  if (!old_cover && !new_cover) return;
  const std::string old_path = from == nullptr ? std::string() : table_.PathOf(*from, old_name);
  std::string new_path = to == nullptr ? std::string() : table_.PathOf(*to, new_name);
  const uint64_t dev = (from == nullptr ? to : from)->identity.dev;
  source.silent = IsSilent(source, dev, old_path) || IsSilent(source, dev, new_path);

  Fact fact;
  fact.change = Change::kRenamed;
  CoveredObject* object = nullptr;
  if (old_cover) {
    fact.names.push_back(*old_cover);
    if (const auto known = from->files.find(old_name); known != from->files.end()) {
      object = table_.FindObject(known->second.identity);
      if (object != nullptr && object->handle_key.empty()) table_.SetHandle(*object, handle);
      if (object != nullptr) fact.before = object->status;
    }
  }
  if (new_cover) {
    fact.names.push_back(*new_cover);
    fact.flags |= EventFlag::kRenameTargetCovered;
    const auto replaced = to->files.find(new_name);
    const CoveredObject* there =
        replaced == to->files.end() ? nullptr : table_.FindObject(replaced->second.identity);
    if (there != nullptr &&
        (handle.empty() || there->handle_key.empty() || there->handle_key != handle)) {
      fact.flags |= EventFlag::kReplaced;
      if (!old_cover) fact.before = there->status;
    }
  }
  const Decision judged = facts_.Judge(fact.names, source);
  SetKeepsMoved(!judged.listed && !source.silent);
  renamed_ = object == nullptr ? FileIdentity{} : object->status.identity;
  // The new name first: the object never goes without one, and the decision thread always knows it.
  if (new_cover) fact.after = walk_.LookAt(*to, new_name, !old_cover).after;
  if (old_cover) {
    const int fd = table_.Open(*from);
    const auto status = fd < 0 ? std::nullopt : table_.disk().StatusAt(fd, old_name);
    const auto known = from->files.find(old_name);
    const bool stands =
        status && known != from->files.end() && status->identity == known->second.identity;
    if (!stands) walk_.ForgetName(*from, old_name);
  }
  SetKeepsMoved(true);
  if (new_path.empty() && fact.before) {
    if (const auto* entry = moved_.Find(fact.before->identity)) new_path = entry->file.path;
  }
  if (!fact.after) fact.after = fact.before;
  fact.path = old_cover ? old_cover->path : new_cover->path;
  fact.new_path = !old_cover ? old_path : new_cover ? new_cover->path : new_path;
  facts_.Write(fact, source);
}

}  // namespace fileward
