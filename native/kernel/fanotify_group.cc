#include "native/kernel/fanotify_group.h"

#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "native/base/failure.h"
#include "native/kernel/fanotify_events.h"
#include "native/kernel/fanotify_io.h"

namespace fileward {
namespace {
constexpr size_t kMaxIovecs = 256;
}  // namespace

PermissionGroup::PermissionGroup(UniqueFd group)
    : group_(std::move(group)),
      own_buffer_(std::make_unique<std::byte[]>(kBufferBytes)),
      buffer_(own_buffer_.get(), kBufferBytes) {}

PermissionGroup PermissionGroup::Adopt(UniqueFd group) { return PermissionGroup(std::move(group)); }

Result<PermissionGroup> PermissionGroup::Open(const KernelFeatures& features) {
  // UNLIMITED_QUEUE: with a limited one, the opener that doesn't fit gets in undecided.
  unsigned flags = FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_CLOEXEC | FAN_NONBLOCK;
  flags |= features.pre_content ? FAN_CLASS_PRE_CONTENT : FAN_CLASS_CONTENT;
  if (features.report_tid) flags |= FAN_REPORT_TID;
  if (features.fd_error) flags |= FAN_REPORT_FD_ERROR;
  UniqueFd group(::fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE | O_NOATIME));
  if (!group) return ErrnoError("fanotify_init", "permission group");
  PermissionGroup opened(std::move(group));
  opened.ignore_flags_ = features.mark_ignore
                             ? FAN_MARK_IGNORE_SURV
                             : FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;
  if (features.evictable) opened.evictable_flag_ = FAN_MARK_EVICTABLE;
  opened.gates_access_ = features.pre_content;
  return opened;
}

Result<size_t> PermissionGroup::Read(std::vector<PermissionEvent>& batch, size_t max) {
  // The kernel refuses to read into less than the next event needs; one of FAN_PRE_ACCESS has a
  // record as long as its metadata.
  constexpr size_t kLeast = 2;
  const size_t most = std::min(max, MaxEventFds());
  if (most == 0) return size_t{0};
  const size_t wanted = std::max(kLeast, most) * FAN_EVENT_METADATA_LEN;
  ssize_t length = 0;
  do {
    length = ::read(group_.get(), buffer_.data(), wanted);
  } while (length < 0 && errno == EINTR);
  if (length < 0 && errno == EAGAIN) return size_t{0};
  if (length < 0) {
    Error error = ErrnoError("read", "permission group");
    if (error.error_number == EBADF || error.error_number == EINVAL) return error;
    // Without FAN_REPORT_FD_ERROR this is how the kernel says that it could not open the first
    // event's file. It has denied that one and forgotten it; the others are still to be read.
    batch.emplace_back().open_error = error.error_number;
    return size_t{1};
  }
  used_bytes_ = static_cast<size_t>(length);
  const size_t before = batch.size();
  if (!ParsePermissionEvents(buffer_.first(used_bytes_), batch)) {
    return Error{EPROTO, "read", "permission group: unknown event format"};
  }
  return batch.size() - before;
}

void PermissionGroup::ClearBuffer() {
  std::memset(buffer_.data(), 0, std::exchange(used_bytes_, 0));
}

bool PermissionGroup::CanRead() { return MaxEventFds() > 0; }

size_t PermissionGroup::Queued() const {
  int bytes = 0;
  return ::ioctl(group_.get(), FIONREAD, &bytes) == 0
             ? static_cast<size_t>(bytes) / FAN_EVENT_METADATA_LEN
             : 0;
}

void PermissionGroup::Answer(std::span<const Response> responses) {
  std::array<fanotify_response, kMaxIovecs> answers;
  std::array<iovec, kMaxIovecs> pieces;
  while (!responses.empty()) {
    const size_t count = std::min(responses.size(), kMaxIovecs);
    for (size_t i = 0; i < count; ++i) {
      answers[i].fd = responses[i].fd;
      answers[i].response = responses[i].allow ? FAN_ALLOW : FAN_DENY;
      pieces[i] = {&answers[i], sizeof(answers[i])};
    }
    // writev stops at the first answer that the kernel refuses and doesn't say why.
    const ssize_t written = ::writev(group_.get(), pieces.data(), static_cast<int>(count));
    size_t done = written > 0 ? static_cast<size_t>(written) / sizeof(fanotify_response) : 0;
    if (done < count) {
      AnswerOne(answers[done]);
      ++done;
    }
    responses = responses.subspan(done);
  }
}

void PermissionGroup::AnswerOne(const fanotify_response& answer) {
  ssize_t written = 0;
  do {
    written = ::write(group_.get(), &answer, sizeof(answer));
  } while (written < 0 && errno == EINTR);
  // ENOENT: answered already (by the watchdog), or the opener was killed. Nobody waits for it.
  if (written < 0 && errno != ENOENT) CountFailure(Failure::kResponseRejected);
}

Result<void> PermissionGroup::MarkDirectory(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR, mask | FAN_EVENT_ON_CHILD, dirfd,
                   path);
}

Result<void> PermissionGroup::MarkFile(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_ADD, mask, dirfd, path);
}

// The kernel drops a mark that has no bit left, EVENT_ON_CHILD and ONDIR of a directory's included.
Result<void> PermissionGroup::Unmark(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_REMOVE, mask, dirfd, path);
}

Result<void> PermissionGroup::MarkMount(int directory, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_ADD | FAN_MARK_MOUNT, mask, directory, ".");
}

Result<void> PermissionGroup::UnmarkMount(int directory, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_REMOVE | FAN_MARK_MOUNT, mask, directory, ".");
}

Result<void> PermissionGroup::MarkFilesystem(int directory, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, directory, ".");
}

Result<void> PermissionGroup::UnmarkFilesystem(int directory, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM, mask, directory, ".");
}

Result<void> PermissionGroup::ProbeAccess(int directory) {
  // To ignore what nothing asks for is no mark that could hold anybody up.
  const unsigned mark = FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;
  Result<void> known = MarkGroup(group_.get(), FAN_MARK_ADD | mark, FAN_PRE_ACCESS, directory, ".");
  if (known.ok())
    (void)MarkGroup(group_.get(), FAN_MARK_REMOVE | mark, FAN_PRE_ACCESS, directory, ".");
  return known;
}

Result<void> PermissionGroup::IgnoreFile(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_ADD | ignore_flags_ | evictable_flag_, mask, dirfd, path);
}

Result<void> PermissionGroup::UnignoreFile(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_REMOVE | ignore_flags_, mask, dirfd, path);
}

}  // namespace fileward
