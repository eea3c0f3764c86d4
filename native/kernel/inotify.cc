#include "native/kernel/inotify.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "native/base/failure.h"

namespace fileward {
namespace {
constexpr size_t kBufferBytes = 64 * 1024;
}  // namespace

Inotify::Inotify(UniqueFd instance)
    : instance_(std::move(instance)), buffer_(std::make_unique<std::byte[]>(kBufferBytes)) {}

Result<Inotify> Inotify::Open() {
  UniqueFd instance(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!instance) return ErrnoError("inotify_init1");
  return Inotify(std::move(instance));
}

Result<int> Inotify::Watch(const char* path, uint32_t mask) {
  const int watch = ::inotify_add_watch(instance_.get(), path, mask);
  if (watch < 0) return ErrnoError("inotify_add_watch", path);
  return watch;
}

Result<void> Inotify::Unwatch(int watch) {
  if (::inotify_rm_watch(instance_.get(), watch) != 0) return ErrnoError("inotify_rm_watch");
  return {};
}

Result<size_t> Inotify::Read(std::vector<InotifyEvent>& events) {
  ssize_t length = 0;
  do {
    length = ::read(instance_.get(), buffer_.get(), kBufferBytes);
  } while (length < 0 && errno == EINTR);
  if (length < 0 && errno == EAGAIN) return size_t{0};
  if (length < 0) return ErrnoError("read", "inotify");
  const size_t before = events.size();
  for (const std::byte* at = buffer_.get(); at < buffer_.get() + length;) {
    inotify_event header{};
    std::memcpy(&header, at, sizeof(header));
    const auto* name = reinterpret_cast<const char*>(at + sizeof(header));
    InotifyEvent& event = events.emplace_back();
    event.watch = header.wd;
    event.mask = header.mask;
    event.cookie = header.cookie;
    event.name.assign(name, ::strnlen(name, header.len));
    if ((header.mask & IN_Q_OVERFLOW) != 0) CountFailure(Failure::kInotifyOverflow);
    at += sizeof(header) + header.len;
  }
  return events.size() - before;
}

}  // namespace fileward
