// Makes a thread slow: whenever it has read events of fanotify it is held for some time before it goes on.
//   slow TID MILLISECONDS
// Says "slow" when it does, lets it go when standard input ends.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The shortest of fanotify's; other reads of such a thread are of eventfds.
static const long kEventBytes = 24;

static int is_over(void) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  char byte;
  return poll(&input, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const pid_t tid = atoi(argv[1]);
  const useconds_t pause_us = (useconds_t)atoi(argv[2]) * 1000;
  int status = 0;
  if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) != 0 ||
      ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0) {
    perror("ptrace");
    return 1;
  }
  puts("slow");
  fflush(stdout);
  unsigned long long call = 0;
  while (waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status)) {
    struct __ptrace_syscall_info info = {0};
    if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
        ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0) {
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) call = info.entry.nr;
      if (info.op == PTRACE_SYSCALL_INFO_EXIT && call == SYS_read && 
          info.exit.rval >= kEventBytes) {
        usleep(pause_us);
      }
    }
    // It stops at each of its calls, and sleeps for less than a second between them.
    if (is_over()) return ptrace(PTRACE_DETACH, tid, 0, 0) == 0 ? 0 : 1;
    if (ptrace(PTRACE_SYSCALL, tid, 0, 0) != 0) return 1;
  }
  return 1;
}
