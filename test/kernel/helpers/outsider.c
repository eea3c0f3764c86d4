// A program that a container's processes run, or a process in it, and that is not a file of the
// container.
//   outsider memfd PROGRAM ARG...   runs a copy of PROGRAM that exists in memory only
//   outsider run PROGRAM ARG...     forks it and waits for its end
//   outsider join PID FILE          joins the mount namespace of PID, opens FILE there; prints `ok`
//   or the error
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int run_from_memory(char **argv) {
  const int program = open(argv[0], O_RDONLY | O_CLOEXEC);
  const int copy = memfd_create("copy", MFD_CLOEXEC);
  if (program < 0 || copy < 0) return -1;
  while (sendfile(copy, program, NULL, 1 << 20) > 0) continue;
  return fexecve(copy, argv, environ);
}

static int run(char **argv) {
  const pid_t child = fork();
  if (child == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  return child < 0 ? -1 : waitpid(child, NULL, 0) == child ? 0 : -1;
}

static int open_in_namespace(const char *pid, const char *file) {
  char name[64];
  snprintf(name, sizeof(name), "/proc/%s/ns/mnt", pid);
  const int space = open(name, O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNS) != 0) return -1;
  return open(file, O_RDONLY | O_CLOEXEC);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int result = -1;
  if (strcmp(argv[1], "memfd") == 0) {
    result = run_from_memory(argv + 2);
  } else if (strcmp(argv[1], "run") == 0) {
    if (run(argv + 2) == 0) return 0;
  } else if (argc == 4 && strcmp(argv[1], "join") == 0) {
    result = open_in_namespace(argv[2], argv[3]);
  } else {
    return 2;
  }
  puts(result >= 0 ? "ok" : strerrorname_np(errno));
  return result >= 0 ? 0 : 1;
}
