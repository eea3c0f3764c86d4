#include "native/coverage/folder_watches.h"

#include <utility>

#include "native/coverage/file_status.h"

namespace fileward {
namespace {

constexpr uint32_t kChanges = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY |
                              IN_ATTRIB | IN_ONLYDIR | IN_EXCL_UNLINK;

}  // namespace

bool FolderWatches::Watch(Directory& directory, int fd) {
  if (directory.watch >= 0) return true;
  if (!instance_) {
    Result<Inotify> opened = Inotify::Open();
    if (!opened.ok()) return false;
    instance_.emplace(std::move(*opened));
  }
  const Result<int> watch = instance_->Watch(SelfPath(fd).c_str(), kChanges);
  if (!watch.ok()) return false;
  ++holders_[*watch];
  directory.watch = *watch;
  return true;
}

void FolderWatches::Unwatch(Directory& directory) {
  const int watch = std::exchange(directory.watch, -1);
  if (watch < 0 || --holders_[watch] > 0) return;
  holders_.erase(watch);
  // Fails where the directory has gone: its watch went with it.
  (void)instance_->Unwatch(watch);
}

bool FolderWatches::TakeChanged() {
  if (!instance_) return false;
  bool changed = false;
  for (;;) {
    events_.clear();
    const Result<size_t> taken = instance_->Read(events_);
    if (!taken.ok() || *taken == 0) return changed;
    for (const InotifyEvent& event : events_) changed |= (event.mask & IN_IGNORED) == 0;
  }
}

}  // namespace fileward
