// What the helpers way_*.c share: each is a list of ways to get at one
// protected file, and goes one of them.
//   way_KIND NAME FILE OUTSIDE APP
// FILE is protected; its folder's parent belongs to the user, too. OUTSIDE is a
// folder on the same file system that no rule covers, with a file `other`. APP
// is a listed app: a copy of way_listed. Says "prepared", goes on at the next
// line from standard input, says `ok` or the name of the error, and lives on
// for a moment: of a process that comes and goes within the time that a busy
// machine takes to look, fileward says `process_gone`.
#ifndef WAY_H_
#define WAY_H_
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct way {
  const char *name;
  int (*prepare)(void);  // 0, or -1 with errno; null: nothing to prepare
  int (*go)(void);       // the same; what counts is its first call that fails
};

static const char *file, *outside, *app;

// Texts of this length at most live until the next eight calls.
static char *format(const char *pattern, const char *first, const char *second) {
  static char texts[8][4200];
  static int next = 0;
  char *text = texts[next++ % 8];
  snprintf(text, sizeof(texts[0]), pattern, first, second);
  return text;
}
static inline char *out(const char *name) { return format("%s/%s", outside, name); }
// The folder of `file`.
static inline char *folder(void) {
  char *text = format("%s%s", file, "");
  *strrchr(text, '/') = '\0';
  return text;
}
// Its name, under another path.
static inline char *as_named(const char *path) {
  return format("%s/%s", path, strrchr(file, '/') + 1);
}
static inline char *beside(const char *name) { return format("%s/%s", folder(), name); }

// Reads a byte, or writes one where it was not opened to read.
static inline int use(int fd) {
  if (fd < 0) return -1;
  char byte = 'x';
  const int flags = fcntl(fd, F_GETFL) & O_ACCMODE;
  const ssize_t done = flags == O_WRONLY ? write(fd, &byte, 1) : read(fd, &byte, 1);
  return done < 0 ? -1 : 0;
}
static inline int opens(const char *path, int flags) {
  const int fd = open(path, flags | O_CLOEXEC, 0644);
  const int result = use(fd);
  if (fd >= 0) close(fd);
  return result;
}
static inline int put(const char *path, const char *text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t done = write(fd, text, strlen(text));
  close(fd);
  return done < 0 ? -1 : 0;
}

// 0 when the program ends well; EPERM when it can't be run or fails, which its
// own message says.
static inline int ends_well(pid_t child) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  errno = EPERM;
  return -1;
}
static inline int runs(char *const *arguments) {
  const pid_t child = fork();
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    execv(arguments[0], arguments);
    _exit(127);
  }
  return ends_well(child);
}

// Mounts of its own from here on; somebody who isn't root becomes root of a
// user namespace first.
static inline int own_mounts(void) {
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  if (unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) != 0) return -1;
  if (uid != 0) {
    char map[64];
    if (put("/proc/self/setgroups", "deny") != 0) return -1;
    snprintf(map, sizeof(map), "0 %u 1", uid);
    if (put("/proc/self/uid_map", map) != 0) return -1;
    snprintf(map, sizeof(map), "0 %u 1", gid);
    if (put("/proc/self/gid_map", map) != 0) return -1;
  }
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int say(int result) {
  puts(result == 0 ? "ok" : strerrorname_np(errno));
  fflush(stdout);
  usleep(200000);
  return 0;
}

static int go_the_way(const struct way *ways, size_t count, int argc, char **argv) {
  if (argc != 5) return 2;
  file = argv[2], outside = argv[3], app = argv[4];
  alarm(120);  // it may wait for the agent
  for (size_t i = 0; i < count; i++) {
    if (strcmp(ways[i].name, argv[1]) != 0) continue;
    if (ways[i].prepare != NULL && ways[i].prepare() != 0) return say(-1);
    puts("prepared");
    fflush(stdout);
    char line[8];
    if (read(0, line, sizeof(line)) <= 0) return 1;
    alarm(20);
    usleep(100000);
    return say(ways[i].go());
  }
  fprintf(stderr, "no way %s\n", argv[1]);
  return 2;
}
#define WAYS_MAIN(ways)                                                    \
  int main(int argc, char **argv) {                                        \
    return go_the_way(ways, sizeof(ways) / sizeof((ways)[0]), argc, argv); \
  }
#endif
