// Holds threads of a process still, its other threads go on: hold TID... Says "held" when it does, lets them go when
// standard input ends.
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  for (int i = 1; i < argc; i++) {
    const pid_t tid = atoi(argv[i]);
    int status = 0;
    if (ptrace(PTRACE_SEIZE, tid, 0, 0) != 0 || ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0 ||
        waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) {
      perror("ptrace");
      return 1;
    }
  }
  puts("held");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  for (int i = 1; i < argc; i++) {
    if (ptrace(PTRACE_DETACH, atoi(argv[i]), 0, 0) != 0) return 1;
  }
  return 0;
}
