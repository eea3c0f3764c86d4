#include "native/decision/unjudged_opens.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <chrono>
#include <thread>
#include <utility>

#include "native/base/clock.h"
#include "native/kernel/fanotify_abi.h"

namespace fileward {
namespace {

constexpr uint64_t kNapsNs = 20'000'000;
constexpr uint64_t kBetweenNapsNs = 100'000'000;

FileIdentity IdentityAt(int dirfd, const char* path, int flags) {
  struct statx status {};
  if (::statx(dirfd, path, flags | AT_STATX_DONT_SYNC, STATX_INO, &status) != 0) return {};
  return {makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino};
}

}  // namespace

FileIdentity IdentityOfFd(int fd) { return IdentityAt(fd, "", AT_EMPTY_PATH); }
FileIdentity IdentityOfFile(const char* path) { return IdentityAt(AT_FDCWD, path, 0); }

UnjudgedOpens::UnjudgedOpens(const VerdictJournal& journal,
                             std::function<bool(int32_t tid)> may_pass)
    : journal_(journal), may_pass_(std::move(may_pass)) {}

bool UnjudgedOpens::Allows(const FileIdentity& file, int32_t tid, uint64_t mask) {
  if (!file.known()) return !journal_.keep.load() || may_pass_(tid);
  const Operations denied = journal_.denials.Find(file);
  return denied.empty() || may_pass_(tid) || !denied.HasAny(WantedBy(file, tid, mask));
}

Operations UnjudgedOpens::WantedBy(const FileIdentity& file, int32_t tid, uint64_t mask) {
  for (;;) {
    const Intent intent = (mask & FAN_PRE_ACCESS) != 0 ? ReadAccessIntent(tid, file, 0, nobody_)
                                                       : ReadIntent(tid, mask, 0, nobody_);
    if (intent.state != Intent::State::kRunning) return intent.wanted;
    // It was woken by somebody's answer, or is about to sleep.
    if (!Nap()) return {Operation::kRead, Operation::kWrite};
  }
}

bool UnjudgedOpens::Nap() {
  const uint64_t now = MonotonicNs();
  if (now >= nap_until_ns_ + kBetweenNapsNs) nap_until_ns_ = now + kNapsNs;
  if (now >= nap_until_ns_) return false;
  std::this_thread::sleep_for(std::chrono::microseconds(200));
  return true;
}

}  // namespace fileward
