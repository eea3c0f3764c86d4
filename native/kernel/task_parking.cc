#include "native/kernel/task_parking.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "native/base/unique_fd.h"
#include "native/kernel/proc_reader.h"

namespace fileward {
namespace {

// /proc/<tid>/wchan looks at a task only while it is off the run queue, and without waiting
// (get_wchan in kernel/sched/core.c); "0" otherwise.
bool HasWaitChannel(int32_t tid) {
  const ProcText<64> text(tid, "wchan");
  return text.ok() && text.view() != "0";
}

// Kernels without kallsyms, or without a stack unwinder, say "0" of every task.
bool KernelTells() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  std::atomic<int32_t> tid{0};
  std::thread sleeper([&] {
    tid.store(::gettid());
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(event.get(), &count, sizeof(count));
  });
  bool tells = false;
  for (int i = 0; i < 200 && !tells; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    tells = tid.load() != 0 && HasWaitChannel(tid.load());
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event.get(), &one, sizeof(one));
  sleeper.join();
  return tells;
}

}  // namespace

bool IsParked(int32_t tid) {
  static const bool kernel_tells = KernelTells();
  return !kernel_tells || HasWaitChannel(tid);
}

}  // namespace fileward
