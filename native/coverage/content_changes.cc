// The part of Changes that deals with files themselves: written, closed, attributes, links
// elsewhere, watched opens.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "native/base/clock.h"
#include "native/coverage/changes.h"
#include "native/coverage/extended_attributes.h"
#include "native/coverage/file_handle.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

constexpr uint64_t kContentBits = FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB;
constexpr uint64_t kAccessBits = FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_NOWRITE | FAN_CLOSE_WRITE;
constexpr uint64_t kSelfBits = FAN_MOVE_SELF | FAN_DELETE_SELF;
// Less than records wait for a close: a truncate(2) has none.
constexpr uint64_t kTellWrittenAgainNs = 200'000'000;
// A little more than the 10 s after which an unclosed write becomes a record.
constexpr uint64_t kSettleWrittenNs = 11'000'000'000;
// How long a link's own event may lag behind the new count of links.
constexpr uint64_t kLinkNameNs = 20'000'000;

}  // namespace

CoveredObject* Changes::ObjectOf(const Noted& noted, Directory* directory,
                                 const std::string& name) {
  const std::string& handle = noted.event.object_handle;
  if (directory != nullptr) {
    const auto known = directory->files.find(name);
    CoveredObject* object =
        known == directory->files.end() ? nullptr : table_.FindObject(known->second.identity);
    const bool other = object != nullptr && !handle.empty() && !object->handle_key.empty() &&
                       object->handle_key != handle;
    if (object != nullptr && !other) return object;
  }
  return handle.empty() ? nullptr : table_.FindObjectByHandle(handle);
}

std::vector<CoveredBy> Changes::NamesOf(const CoveredObject& object) const {
  std::vector<CoveredBy> names;
  for (const CoveredObject::Name& at : object.names) {
    const KnownName& known = at.directory->files.at(at.name);
    names.push_back({known.covered_path, known.rules});
  }
  if (names.empty()) {
    if (const auto* entry = moved_.Find(object.status.identity)) {
      names.push_back({entry->file.protected_path, entry->rules});
    }
  }
  return names;
}

std::optional<FileStatus> Changes::Current(const CoveredObject& object) const {
  for (const CoveredObject::Name& at : object.names) {
    const int fd = table_.Open(*at.directory);
    const auto status = fd < 0 ? std::nullopt : table_.disk().StatusAt(fd, at.name);
    if (status && status->SameFile(object.status)) return status;
  }
  if (const auto* entry = moved_.Find(object.status.identity)) {
    const UniqueFd fd = table_.disk().OpenPath(entry->file.path);
    const auto status = fd ? FileStatusOf(fd.get()) : std::nullopt;
    if (status && status->SameFile(object.status)) return status;
  }
  return std::nullopt;
}

std::string Changes::ReachedBy(const Noted& noted, const CoveredObject& object,
                               Directory* directory, const std::string& name) const {
  if (directory != nullptr) {
    const auto known = directory->files.find(name);
    return known != directory->files.end() ? known->second.covered_path
                                           : table_.PathOf(*directory, name);
  }
  if (const auto* entry = moved_.Find(object.status.identity)) return entry->file.path;
  if (!noted.event.name || object.names.empty()) return {};
  // A link in a directory that nobody covers: its handle says where.
  const int near = table_.Open(*object.names.front().directory);
  const UniqueFd fd =
      near < 0 ? UniqueFd() : OpenByHandleKey(near, noted.event.name->directory_handle);
  const std::string path = fd ? table_.disk().PathOf(fd.get()) : std::string();
  return path.empty() ? path : JoinPath(path, noted.event.name->name);
}

void Changes::Content(const Noted& noted, Directory* directory, const std::string& name,
                      const Source& from) {
  const uint64_t mask = noted.event.mask;
  if ((mask & (kContentBits | kAccessBits | kSelfBits)) == 0) return;
  CoveredObject* object = ObjectOf(noted, directory, name);
  if (object == nullptr || !object->status.IsRegular()) return;
  if (object->moved && (mask & kSelfBits) != 0) {
    MovedFileEvent(*object, mask, from);
    return;
  }
  Source source = from;
  const std::string path = ReachedBy(noted, *object, directory, name);
  const uint64_t dev = directory != nullptr    ? directory->identity.dev
                       : object->names.empty() ? object->status.identity.dev
                                               : object->names.front().directory->identity.dev;
  source.silent = IsSilent(from, dev, path);
  const FileIdentity identity = object->status.identity;
  if ((mask & FAN_ATTRIB) != 0) Attributes(*object, path, source);
  object = table_.FindObject(identity);
  if (object == nullptr) return;
  if ((mask & FAN_MODIFY) != 0) Written(*object, path, source);
  if ((mask & FAN_CLOSE_WRITE) != 0) Closed(*object, path, (mask & FAN_MODIFY) != 0, source);
  if ((mask & kAccessBits) != 0 && !from.doubtful)
    access_.Handle(mask, noted.event.pid, NamesOf(*object), path, object->status, source);
}

void Changes::Written(CoveredObject& object, const std::string& path, const Source& source) {
  const uint64_t now_ns = MonotonicNs();
  const int32_t pid = source.actor == nullptr ? 0 : source.actor->process.pid;
  const bool told = object.written_since_ns != 0 && object.written_pid == pid &&
                    now_ns < object.written_told_ns + kTellWrittenAgainNs;
  if (object.written_since_ns == 0) {
    object.written_since_ns = now_ns;
    written_.emplace_back(object.status.identity, now_ns + kSettleWrittenNs);
  }
  if (told) return;
  const auto after = Current(object);
  if (source.doubtful && after && after->SameContent(object.status)) return;
  object.written_told_ns = now_ns;
  object.written_pid = pid;
  Fact fact;
  fact.change = Change::kWritten;
  fact.names = NamesOf(object);
  fact.path = path;
  fact.before = object.status;
  fact.after = after;
  fact.judged = judged_.Find(object.status.identity, pid);
  facts_.Write(fact, source);
}

void Changes::Closed(CoveredObject& object, const std::string& path, bool written,
                     const Source& source) {
  Fact fact;
  fact.change = Change::kClosedWrite;
  fact.before = object.status;
  fact.after = Current(object);
  // Of a file that is gone by now nothing can be compared: it changed if a write was seen.
  const bool differs = fact.after && !object.status.SameContent(*fact.after);
  if (!written && object.written_since_ns == 0 && !differs) return;
  fact.names = NamesOf(object);
  fact.path = path;
  if (source.actor != nullptr)
    fact.judged = judged_.Find(object.status.identity, source.actor->process.pid);
  facts_.Write(fact, source);
  object.written_since_ns = 0;
  if (fact.after) {
    object.status.size = fact.after->size;
    object.status.mtime_ns = fact.after->mtime_ns;
    object.status.TakeInodeTimeOf(*fact.after);
    table_.NoteChanged(object);
  }
}

// True when they are others than they were known to be.
bool Changes::TakeExtendedAttributes(CoveredObject& object) const {
  std::optional<uint64_t> now;
  if (!object.names.empty()) {
    const CoveredObject::Name& at = object.names.front();
    const int fd = table_.Open(*at.directory);
    if (fd >= 0) now = ExtendedAttributesAt(fd, at.name.c_str());
  } else if (const auto* entry = moved_.Find(object.status.identity)) {
    const UniqueFd fd = table_.disk().OpenPath(entry->file.path);
    if (fd) now = ExtendedAttributesAt(fd.get(), "");
  }
  if (!now) return false;
  const auto before = std::exchange(object.extended_attributes, now);
  return before && *before != *now;
}

void Changes::Attributes(CoveredObject& object, const std::string& path, const Source& source) {
  const auto now = Current(object);
  if (!now) return;
  if (now->nlink > object.status.nlink) {
    pending_links_.push_back({object.status.identity, source, MonotonicNs() + kLinkNameNs});
  }
  if (now->nlink != object.status.nlink) {
    object.status.nlink = now->nlink;
    if (!object.names.empty()) {
      const CoveredObject::Name at = object.names.front();
      if (const int fd = table_.Open(*at.directory); fd >= 0)
        walk_.MarkObject(object, fd, at.name.c_str());
    }
  }
  if (object.written_since_ns == 0 && now->ctime_ns != object.status.ctime_ns) {
    object.status.TakeInodeTimeOf(*now);
    table_.NoteChanged(object);
  }
  // Times change with every write too: what is being written is told by its close.
  const bool times_set = object.written_since_ns == 0 && now->size == object.status.size &&
                         now->mtime_ns != object.status.mtime_ns;
  const bool extended = TakeExtendedAttributes(object);
  if (now->SameAttributes(object.status) && !times_set && !extended) return;
  Fact fact;
  if (extended) fact.flags = EventFlag::kExtendedAttributes;
  fact.change = Change::kAttributes;
  fact.names = NamesOf(object);
  fact.path = path;
  fact.before = object.status;
  fact.after = now;
  facts_.Write(fact, source);
  object.status.mode = now->mode;
  object.status.uid = now->uid;
  object.status.gid = now->gid;
  if (times_set) object.status.mtime_ns = now->mtime_ns;
  object.status.TakeInodeTimeOf(*now);
  table_.NoteChanged(object);
}

void Changes::MovedFileEvent(CoveredObject& object, uint64_t mask, const Source& source) {
  const FileIdentity identity = object.status.identity;
  const std::vector<CoveredBy> names = NamesOf(object);
  const MovedFiles::Entry* entry = moved_.Find(identity);
  if (entry == nullptr) return;
  Fact fact;
  fact.names = names;
  fact.before = object.status;
  fact.path = entry->reachable ? entry->file.path : entry->file.protected_path;
  if ((mask & FAN_MOVE_SELF) != 0 && facts_.Judge(names, source).listed) {
    moved_.Drop(identity);
    return;
  }
  const bool deleted = (mask & FAN_DELETE_SELF) != 0 && !source.doubtful;
  if (!moved_.LookAgain(object, deleted)) {
    fact.change = Change::kDeleted;
    fact.flags = EventFlag::kUnlinked;
    facts_.Write(fact, source);
    return;
  }
  entry = moved_.Find(identity);
  const std::string& now_at = entry->file.path;
  if (!entry->reachable || now_at == fact.path) return;
  fact.change = Change::kRenamed;
  fact.after = object.status;
  fact.new_path = now_at;
  facts_.Write(fact, source);
}

uint64_t Changes::NextTick() const {
  uint64_t due_ns = access_.waiting() ? MonotonicNs() + 50'000'000 : UINT64_MAX;
  for (const PendingLink& link : pending_links_) due_ns = std::min(due_ns, link.due_ns);
  for (const HalfRename& half : half_renames_) due_ns = std::min(due_ns, half.due_ns);
  if (!written_.empty()) due_ns = std::min(due_ns, written_.front().second);
  return due_ns;
}

void Changes::Tick(uint64_t now_ns) {
  access_.Tick(now_ns);
  std::vector<PendingLink> links;
  std::erase_if(pending_links_, [&](const PendingLink& link) {
    if (link.due_ns > now_ns) return false;
    links.push_back(link);
    return true;
  });
  for (const PendingLink& link : links) {
    const CoveredObject* object = table_.FindObject(link.identity);
    if (object == nullptr) continue;
    Fact fact;
    fact.change = Change::kLinked;
    fact.names = NamesOf(*object);
    fact.after = object->status;
    facts_.Write(fact, link.source);
  }
  while (!half_renames_.empty() && half_renames_.front().due_ns <= now_ns) {
    const Noted noted = std::move(half_renames_.front().noted);
    half_renames_.erase(half_renames_.begin());
    Handle(noted);
  }
  while (!written_.empty() && written_.front().second <= now_ns) {
    const FileIdentity identity = written_.front().first;
    written_.erase(written_.begin());
    CoveredObject* object = table_.FindObject(identity);
    if (object == nullptr || object->written_since_ns == 0) continue;
    object->written_since_ns = 0;
    if (const auto now = Current(*object)) {
      object->status.size = now->size;
      object->status.mtime_ns = now->mtime_ns;
      object->status.TakeInodeTimeOf(*now);
      table_.NoteChanged(*object);
    }
  }
}

}  // namespace fileward
