// Words of the fanotify, name_to_handle and pidfd interfaces that are newer than Debian 12's
// headers. Values from the kernel's include/uapi; the probe finds out whether the running kernel
// knows them.
#ifndef FILEWARD_KERNEL_FANOTIFY_ABI_H_
#define FILEWARD_KERNEL_FANOTIFY_ABI_H_

#include <fcntl.h>
#include <linux/fanotify.h>

#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x00002000
#endif
#ifndef FAN_PRE_ACCESS
#define FAN_PRE_ACCESS 0x00100000
#endif
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000
#endif
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x00000400
#endif
#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x00000200
#endif
#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#endif  // FILEWARD_KERNEL_FANOTIFY_ABI_H_
