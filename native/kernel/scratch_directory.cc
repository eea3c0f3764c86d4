#include "native/kernel/scratch_directory.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fileward {
namespace {

// glibc 2.36 has wrappers, older ones don't: the numbers are the same everywhere.
UniqueFd DetachedTmpfs() {
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context) return {};
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return {};
  }
  const UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (!mount) return {};
  return UniqueFd(::openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

Result<ScratchDirectory> ScratchDirectory::Create() {
  ScratchDirectory scratch(DetachedTmpfs());
  if (!scratch.directory_) {
    std::string path = "/tmp/fileward-probe-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return ErrnoError("mkdtemp", path);
    scratch.path_ = path;
    scratch.directory_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!scratch.directory_) return ErrnoError("open", path);
  }
  const UniqueFd file(::openat(scratch.fd(), kFile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700));
  if (!file || ::write(file.get(), "probe\n", 6) != 6) return ErrnoError("openat", kFile);
  return scratch;
}

ScratchDirectory::~ScratchDirectory() {
  if (!directory_ || path_.empty()) return;
  ::unlinkat(directory_.get(), kFile, 0);
  ::rmdir(path_.c_str());
}

}  // namespace fileward
