// Ways that have to do with who opens, and how it is made to: see way.h.
#include "way.h"

#include <linux/openat2.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

static int open_read(void) { return opens(file, O_RDONLY); }
static int open_write(void) { return opens(file, O_WRONLY); }
static int open_cut(void) { return opens(file, O_RDONLY | O_TRUNC); }
static int create_name(void) { return opens(beside("created"), O_WRONLY | O_CREAT | O_EXCL); }
static int open_path(void) { return close(open(file, O_PATH)); }
static int open_path_again(void) {
  const int fd = open(file, O_PATH | O_CLOEXEC);
  char self[64];
  snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
  return opens(self, O_RDONLY);
}
static int execute(void) { return runs((char *const[]){(char *)file, NULL}); }
static int execute_path_descriptor(void) {
  const int fd = open(file, O_PATH | O_CLOEXEC);
  const pid_t child = fork();
  char *none[] = {"x", NULL};
  if (child == 0) {
    syscall(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH);
    _exit(127);
  }
  return ends_well(child);
}
static int by_loader(void) {
  return runs((char *const[]){"/lib64/ld-linux-x86-64.so.2", (char *)file, NULL});
}
static int by_interpreter(void) {
  return runs((char *const[]){"/bin/sh", "-c", ". \"$0\"", (char *)file, NULL});
}
// This program again, as a file that exists in memory only.
static int from_memory(void) {
  const int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const int copy = memfd_create("copy", 0);
  char bytes[65536];
  ssize_t length;
  while ((length = read(self, bytes, sizeof(bytes))) > 0)
    if (write(copy, bytes, (size_t)length) != length) return -1;
  const pid_t child = fork();
  char *const arguments[] = {"copy", "--open", (char *)file, NULL};
  if (child == 0) {
    fexecve(copy, arguments, environ);
    _exit(127);
  }
  return ends_well(child);
}

// A listed app that stops before its first call, and its registers there.
static pid_t stopped_app(struct user_regs_struct *registers) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    execl(app, app, "open", outside, NULL);
    _exit(127);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return -1;
  if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL) != 0) return -1;
  if (ptrace(PTRACE_SYSCALL, child, 0, 0) != 0 || waitpid(child, &status, 0) != child) return -1;
  return ptrace(PTRACE_GETREGS, child, 0, registers) == 0 ? child : -1;
}
// Its first call becomes our open.
static int trace_app(void) {
  struct user_regs_struct registers;
  const pid_t child = stopped_app(&registers);
  if (child < 0) return -1;
  const uint64_t at = (registers.rsp - 8192) & ~7ULL;
  const struct iovec here = {(void *)file, strlen(file) + 1}, there = {(void *)at, here.iov_len};
  if (process_vm_writev(child, &here, 1, &there, 1, 0) < 0) return -1;
  registers.orig_rax = SYS_openat;
  registers.rdi = (unsigned long long)AT_FDCWD;
  registers.rsi = at;
  registers.rdx = O_RDONLY;
  int status;
  if (ptrace(PTRACE_SETREGS, child, 0, &registers) != 0 ||
      ptrace(PTRACE_SYSCALL, child, 0, 0) != 0 || waitpid(child, &status, 0) != child ||
      ptrace(PTRACE_GETREGS, child, 0, &registers) != 0)
    return -1;
  kill(child, SIGKILL);
  if ((long long)registers.rax >= 0) return 0;
  errno = -(int)registers.rax;
  return -1;
}
// Nobody traces it when it opens: another file's name is written over the one
// in its arguments while it waits.
static int write_into_app(void) {
  struct user_regs_struct registers;
  const pid_t child = stopped_app(&registers);
  if (child < 0) return -1;
  char self[64];
  snprintf(self, sizeof(self), "/proc/%d/mem", child);
  const int memory = open(self, O_RDWR | O_CLOEXEC);
  // argv[2] on the stack at its entry.
  uint64_t arguments[4];
  struct user_regs_struct now = registers;
  uint64_t at = now.rsp;
  for (int tries = 0; tries < 4096; tries++, at += 8) {
    if (pread(memory, arguments, sizeof(arguments), (off_t)at) != sizeof(arguments)) return -1;
    char text[8] = "";
    if (arguments[0] != 3 || arguments[2] == 0) continue;
    if (pread(memory, text, 5, (off_t)arguments[2]) == 5 && strcmp(text, "open") == 0) break;
  }
  const uint64_t copy = (registers.rsp - 16384) & ~7ULL;
  if (pwrite(memory, file, strlen(file) + 1, (off_t)copy) < 0 ||
      pwrite(memory, &copy, sizeof(copy), (off_t)(at + 24)) != sizeof(copy))
    return -1;
  if (ptrace(PTRACE_DETACH, child, 0, 0) != 0) return -1;
  return ends_well(child);
}
// APP-dynamic is a listed app with a dynamic loader.
static int preload(void) {
  setenv("LD_PRELOAD", out("preload.so"), 1);
  setenv("WAY_FILE", file, 1);
  return runs((char *const[]){format("%s-dynamic", app, ""), NULL});
}

// Programs in the place of a listed app, in a file that is the user's: APP-own.
static int copy_self(const char *to) {
  const int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const int copy = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  char bytes[65536];
  ssize_t length;
  while ((length = read(self, bytes, sizeof(bytes))) > 0)
    if (write(copy, bytes, (size_t)length) != length) return -1;
  close(self);
  return close(copy);
}
static int run_as_app(void) {
  usleep(200000);
  return runs((char *const[]){out("app"), "--open", (char *)file, NULL});
}
static int write_into_apps_file(void) { return copy_self(out("app")) != 0 ? -1 : run_as_app(); }
static int move_over_apps_file(void) {
  if (copy_self(out("evil")) != 0 || rename(out("evil"), out("app")) != 0) return -1;
  return run_as_app();
}
static int copy_of_app(void) {
  if (copy_self(out("app-copy")) != 0) return -1;
  return runs((char *const[]){out("app-copy"), "--open", (char *)file, NULL});
}
static int bind_over_app(void) {
  const int result = copy_self(out("evil"));
  if (result != 0 || own_mounts() != 0 || mount(out("evil"), app, NULL, MS_BIND, NULL) != 0)
    return -1;
  return runs((char *const[]){(char *)app, "--open", (char *)file, NULL});
}

// Puts copies in place of all that is mapped from this program's file: only
// then the kernel lets another one be named as it.
static int leave_own_file(void) {
  char self[4096] = "";
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0) return -1;
  static char maps[65536];
  const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  ssize_t got;
  while ((got = read(fd, maps + length, sizeof(maps) - 1 - length)) > 0) length += (size_t)got;
  for (char *line = strtok(maps, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    unsigned long from, to;
    char rights[5];
    if (strstr(line, self) == NULL || sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3)
      continue;
    const size_t size = to - from;
    char *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(copy, (void *)from, size);
    const int protection =
        PROT_READ | (rights[1] == 'w' ? PROT_WRITE : 0) | (rights[2] == 'x' ? PROT_EXEC : 0);
    if (mprotect(copy, size, protection) != 0 ||
        mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)from) == MAP_FAILED)
      return -1;
  }
  return 0;
}
static int name_app_as_own_file(void) {
  const int fd = open(app, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || own_mounts() != 0 || leave_own_file() != 0) return -1;
  unsigned long stat[64] = {0};
  char text[4096] = "";
  const int self = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (read(self, text, sizeof(text) - 1) <= 0) return -1;
  size_t field = 3;  // proc(5)
  for (char *word = strtok(strrchr(text, ')') + 2, " "); word != NULL && field < 64;
       word = strtok(NULL, " "))
    stat[field++] = strtoul(word, NULL, 10);
  const struct prctl_mm_map map = {.start_code = stat[26],
                                   .end_code = stat[27],
                                   .start_data = stat[45],
                                   .end_data = stat[46],
                                   .start_brk = stat[47],
                                   .brk = (uint64_t)(uintptr_t)sbrk(0),
                                   .start_stack = stat[28],
                                   .arg_start = stat[48],
                                   .arg_end = stat[49],
                                   .env_start = stat[50],
                                   .env_end = stat[51],
                                   .exe_fd = (uint32_t)fd};
  if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) != 0) return -1;
  return opens(file, O_RDONLY);
}

// The flags of openat2 lie in memory: somebody else rewrites them while
// fileward looks, another program with a memory of its own.
static void rewrite(pid_t whose, uint64_t address) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (uint64_t flags = O_RDONLY;; flags ^= O_RDONLY ^ O_WRONLY) {
    const struct iovec here = {&flags, sizeof(flags)}, there = {(void *)address, sizeof(flags)};
    process_vm_writev(whose, &here, 1, &there, 1, 0);
  }
}
static int rewrite_flags(void) {
  struct open_how *how =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  how->flags = O_WRONLY;
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    char pid[16], address[32];
    snprintf(pid, sizeof(pid), "%d", parent);
    snprintf(address, sizeof(address), "%lu", (unsigned long)&how->flags);
    execl("/proc/self/exe", "rewrite", "--rewrite", pid, address, NULL);
    _exit(127);
  }
  usleep(100000);
  int result = -1;
  for (int tries = 0; tries < 400 && result != 0; tries++) {
    const int fd = (int)syscall(SYS_openat2, AT_FDCWD, file, how, sizeof(*how));
    if (fd < 0) continue;
    result = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY ? use(fd) : -1;
    close(fd);
  }
  kill(child, SIGKILL);
  errno = EPERM;
  return result;
}

static const struct way ways[] = {
    {"read", NULL, open_read},
    {"write", NULL, open_write},
    {"cut", NULL, open_cut},
    {"create", NULL, create_name},
    {"path-descriptor", NULL, open_path},
    {"path-descriptor-again", NULL, open_path_again},
    {"execute", NULL, execute},
    {"execute-path-descriptor", NULL, execute_path_descriptor},
    {"loader", NULL, by_loader},
    {"interpreter", NULL, by_interpreter},
    {"memfd", NULL, from_memory},
    {"trace", NULL, trace_app},
    {"write-into-app", NULL, write_into_app},
    {"preload", NULL, preload},
    {"write-apps-file", NULL, write_into_apps_file},
    {"replace-apps-file", NULL, move_over_apps_file},
    {"copy-of-app", NULL, copy_of_app},
    {"bind-over-app", NULL, bind_over_app},
    {"set-exe", NULL, name_app_as_own_file},
    {"rewrite-flags", NULL, rewrite_flags},
};

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "--rewrite") == 0)
    rewrite(atoi(argv[2]), strtoul(argv[3], NULL, 10));
  if (argc == 3 && strcmp(argv[1], "--open") == 0) return opens(argv[2], O_RDONLY) == 0 ? 0 : 1;
  return go_the_way(ways, sizeof(ways) / sizeof(ways[0]), argc, argv);
}
