#ifndef FILEWARD_KERNEL_TASK_PARKING_H_
#define FILEWARD_KERNEL_TASK_PARKING_H_

#include <cstdint>

namespace fileward {

// False while the task is on a run queue: running, woken, or about to sleep. SyscallOf of a task
// that is about to sleep waits until it does, in steps of a tick and for as long as busy CPUs keep
// it from it (seen: 300 ms with 70 runnable tasks), so a thread that mustn't wait asks here first.
// True also when the kernel can't tell (no symbols). ~3 us.
bool IsParked(int32_t tid);

}  // namespace fileward

#endif  // FILEWARD_KERNEL_TASK_PARKING_H_
