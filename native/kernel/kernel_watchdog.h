#ifndef FILEWARD_KERNEL_KERNEL_WATCHDOG_H_
#define FILEWARD_KERNEL_KERNEL_WATCHDOG_H_

#include <fcntl.h>

#include "native/base/unique_fd.h"
#include "native/kernel/proc_reader.h"

namespace fileward {

// Has the kernel log who leaves a permission event unanswered for more than 5 s, where it can (its
// word for whoever looks for what hangs the host; it does nothing else). A group is watched if this
// is on when its first mark is placed. What an operator has set stays.
inline void UseKernelWatchdog() {
  constexpr const char* kTimeout = "/proc/sys/fs/fanotify/watchdog_timeout";
  const ProcText<16> now(kTimeout);
  if (!now.ok() || ParseNumber<int>(now.view()) != 0) return;
  const UniqueFd timeout(::open(kTimeout, O_WRONLY | O_CLOEXEC));
  [[maybe_unused]] const ssize_t written = ::write(timeout.get(), "5", 1);
}

}  // namespace fileward

#endif  // FILEWARD_KERNEL_KERNEL_WATCHDOG_H_
