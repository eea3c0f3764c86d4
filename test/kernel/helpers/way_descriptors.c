// Ways through a descriptor of the file, which was opened before the agent began, or by a listed app that gives it away:
// see way.h. Without one, each of them begins with an open.
// Long because each way is one line of C and one of the list.
#include "way.h"

#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

static int fd = -1;
static char *mapped;
static pid_t holder = -1;

static int open_it(int flags) { return (fd = open(file, flags | O_CLOEXEC)) < 0 ? -1 : 0; }
static int open_read(void) { return open_it(O_RDONLY); }
static int open_both(void) { return open_it(O_RDWR); }
static int open_and_map(void) {
  if (open_both() != 0) return -1;
  mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return mapped == MAP_FAILED ? -1 : 0;
}

// From a listed app that sends it.
static int receive(const char *mode) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 0);
    close(ends[1]);
    close(ends[0]);
    execl(app, app, "pass", file, mode, NULL);
    _exit(127);
  }
  close(ends[1]);
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec text = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  const ssize_t got = recvmsg(ends[0], &message, MSG_CMSG_CLOEXEC);
  if (ends_well(child) != 0 || got != 1 || CMSG_FIRSTHDR(&message) == NULL) return -1;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
  usleep(200000);
  return 0;
}
// A listed app that holds it open; the number there. Its standard input ends
// with us.
static int held_by_app(const char *mode) {
  int in[2], said[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(said, O_CLOEXEC) != 0) return -1;
  holder = fork();
  if (holder == 0) {
    dup2(in[0], 0);
    dup2(said[1], 1);
    execl(app, app, "hold", file, mode, NULL);
    _exit(127);
  }
  close(said[1]);
  char text[16] = "";
  if (read(said[0], text, sizeof(text) - 1) <= 0) return -1;
  usleep(200000);
  return atoi(text);
}

static int reads(void) { return use(fd); }
static int writes(void) { return pwrite(fd, "x", 1, 0) == 1 ? 0 : -1; }
static int cuts(void) { return ftruncate(fd, 1); }
static int allocates(void) { return fallocate(fd, 0, 0, 1 << 20); }
static int punches(void) {
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
}
static int maps_to_read(void) {
  const volatile char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return -1;
  (void)*at;
  return 0;
}
static int stores(void) {
  mapped[0] = 'x';
  return 0;
}
static int maps_and_stores(void) {
  mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return mapped == MAP_FAILED ? -1 : stores();
}
static int other(int flags) { return open(out("other"), flags | O_CREAT | O_CLOEXEC, 0644); }
static int copies_out(void) {
  return copy_file_range(fd, NULL, other(O_WRONLY), NULL, 16, 0) > 0 ? 0 : -1;
}
static int copies_in(void) {
  return copy_file_range(other(O_RDONLY), NULL, fd, NULL, 5, 0) > 0 ? 0 : -1;
}
static int sends_out(void) { return sendfile(other(O_WRONLY), fd, NULL, 16) > 0 ? 0 : -1; }
static int sends_in(void) { return sendfile(fd, other(O_RDONLY), NULL, 5) > 0 ? 0 : -1; }
static int splices_out(void) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  return splice(fd, NULL, ends[1], NULL, 16, 0) > 0 ? 0 : -1;
}
static int splices_in(void) {
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], "xxxx", 4) != 4) return -1;
  return splice(ends[0], NULL, fd, NULL, 4, 0) > 0 ? 0 : -1;
}
static int clones(void) { return ioctl(other(O_RDWR), FICLONE, fd); }
static int deduplicates(void) {
  struct {
    struct file_dedupe_range range;
    struct file_dedupe_range_info info;
  } request = {{0, 4096, 1, 0, 0}, {other(O_RDWR), 0, 0, 0, 0}};
  return ioctl(fd, FIDEDUPERANGE, &request);
}
static int sets_attribute(void) { return fsetxattr(fd, "user.way", "x", 1, 0); }
static int changes_mode(void) { return fchmod(fd, 0600); }
static int sets_flags(void) {
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return -1;
  flags |= FS_NODUMP_FL;
  return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}
// EXT4_IOC_MOVE_EXT: gives a file the blocks of another one.
static int moves_extents(void) {
  struct {
    uint32_t reserved, donor;
    uint64_t from, to, count, moved;
  } request = {0, (uint32_t)other(O_RDWR), 0, 0, 1, 0};
  return ioctl(fd, _IOWR('f', 15, request), &request);
}
// EXT4_IOC_SWAP_BOOT: swaps the file with the boot loader's inode.
static int swaps_boot(void) { return ioctl(fd, _IO('f', 17)); }
static int executes(void) {
  const pid_t child = fork();
  char *none[] = {"x", NULL};
  if (child == 0) {
    syscall(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH);
    _exit(127);
  }
  return ends_well(child);
}
static int opens_again(void) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
  return opens(path, O_RDONLY);
}

// One request through io_uring, on the descriptor, or by path where `address`
// says so.
static int by_ring(struct io_uring_sqe request) {
  struct io_uring_params params = {0};
  const int ring = (int)syscall(SYS_io_uring_setup, 4, &params);
  if (ring < 0) return -1;
  const size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  const size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  const int both = PROT_READ | PROT_WRITE;
  char *sq = mmap(NULL, sq_bytes, both, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  char *cq = mmap(NULL, cq_bytes, both, MAP_SHARED, ring, IORING_OFF_CQ_RING);
  struct io_uring_sqe *sqes =
      mmap(NULL, params.sq_entries * sizeof(*sqes), both, MAP_SHARED, ring, IORING_OFF_SQES);
  if (sq == MAP_FAILED || cq == MAP_FAILED || (void *)sqes == MAP_FAILED) return -1;
  sqes[0] = request;
  ((uint32_t *)(sq + params.sq_off.array))[0] = 0;
  __atomic_store_n((uint32_t *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
  const int result = ((struct io_uring_cqe *)(cq + params.cq_off.cqes))[0].res;
  if (result >= 0) return 0;
  errno = -result;
  return -1;
}
static char byte[1];
static int ring_reads(void) {
  return by_ring((struct io_uring_sqe){
      .opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = fd, .addr = (uintptr_t)byte, .len = 1});
}
static int ring_writes(void) {
  return by_ring((struct io_uring_sqe){.opcode = IORING_OP_WRITE,
                                       .flags = IOSQE_ASYNC,
                                       .fd = fd,
                                       .addr = (uintptr_t) "x",
                                       .len = 1});
}
static int ring_opens(void) {
  return by_ring((struct io_uring_sqe){.opcode = IORING_OP_OPENAT,
                                       .flags = IOSQE_ASYNC,
                                       .fd = AT_FDCWD,
                                       .addr = (uintptr_t)file,
                                       .open_flags = O_RDONLY});
}
static int ring_deletes(void) {
  return by_ring((struct io_uring_sqe){
      .opcode = IORING_OP_UNLINKAT, .flags = IOSQE_ASYNC, .fd = AT_FDCWD, .addr = (uintptr_t)file});
}

// Without a descriptor from elsewhere: opened here and now.
static int open_and(int (*act)(void)) { return open_both() != 0 ? -1 : act(); }
static int open_copy(void) { return open_and(copies_out); }
static int open_send(void) { return open_and(sends_out); }
static int open_splice(void) { return open_and(splices_out); }
static int open_allocate(void) { return open_and(allocates); }
static int open_clone(void) { return open_and(clones); }
static int open_deduplicate(void) { return open_and(deduplicates); }
static int open_move_extents(void) { return open_and(moves_extents); }
static int open_swap_boot(void) { return open_and(swaps_boot); }
static int open_map(void) { return open_and(maps_and_stores); }

static int passed(const char *mode, int (*act)(void)) { return receive(mode) != 0 ? -1 : act(); }
static int passed_read(void) { return passed("r", reads); }
static int passed_map(void) { return passed("r", maps_to_read); }
static int passed_write(void) { return passed("w", writes); }
static int passed_cut(void) { return passed("w", cuts); }
static int passed_store(void) { return passed("w", maps_and_stores); }
static int passed_copy_in(void) { return passed("w", copies_in); }
static int passed_ring_write(void) { return passed("w", ring_writes); }
static int passed_open(void) { return passed("r", opens_again); }

static int taken(const char *mode, int (*act)(void)) {
  const int number = held_by_app(mode);
  const int pidfd = number < 0 ? -1 : pidfd_open(holder, 0);
  fd = pidfd < 0 ? -1 : pidfd_getfd(pidfd, number, 0);
  const int result = fd < 0 ? -1 : act();
  if (holder > 0) kill(holder, SIGKILL);
  return result;
}
static int taken_read(void) { return taken("r", reads); }
static int taken_write(void) { return taken("w", writes); }
static int through_proc(void) {
  const int number = held_by_app("r");
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/fd/%d", holder, number);
  const int result = number < 0 ? -1 : opens(path, O_RDONLY);
  kill(holder, SIGKILL);
  return result;
}
// /proc/PID/map_files opens the very file that is mapped.
static int through_mapping(void) {
  if (held_by_app("r") < 0) return -1;
  char line[4400], path[64];
  snprintf(path, sizeof(path), "/proc/%d/maps", holder);
  FILE *maps = fopen(path, "r");
  int result = -1;
  errno = ENOENT;
  while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
    if (strstr(line, file) == NULL) continue;
    snprintf(path, sizeof(path), "/proc/%d/map_files/%.*s", holder, (int)strcspn(line, " "), line);
    result = opens(path, O_RDONLY);
    break;
  }
  kill(holder, SIGKILL);
  return result;
}
static int handed_down(const char *mode, char *verb) {
  char self[4096] = "";
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0) return -1;
  char *const arguments[] = {(char *)app, "hand",       (char *)file,    (char *)mode, self,
                             verb,        (char *)file, (char *)outside, (char *)app,  NULL};
  return runs(arguments);
}
static int inherited_read(void) { return handed_down("r", "--read"); }
static int inherited_write(void) { return handed_down("w", "--write"); }

static const struct way ways[] = {
    {"before-read", open_read, reads},
    {"before-map", open_read, maps_to_read},
    {"before-write", open_both, writes},
    {"before-ftruncate", open_both, cuts},
    {"before-fallocate", open_both, allocates},
    {"before-punch", open_both, punches},
    {"before-mapping", open_and_map, stores},
    {"before-map-after", open_both, maps_and_stores},
    {"before-copy-out", open_read, copies_out},
    {"before-copy-in", open_both, copies_in},
    {"before-sendfile-out", open_read, sends_out},
    {"before-sendfile-in", open_both, sends_in},
    {"before-splice-out", open_read, splices_out},
    {"before-splice-in", open_both, splices_in},
    {"before-ring-read", open_read, ring_reads},
    {"before-ring-write", open_both, ring_writes},
    {"before-fsetxattr", open_read, sets_attribute},
    {"before-fchmod", open_read, changes_mode},
    {"before-setflags", open_read, sets_flags},
    {"before-fexecve", open_read, executes},
    {"before-open-again", open_read, opens_again},
    {"open-map", NULL, open_map},
    {"open-copy", NULL, open_copy},
    {"open-sendfile", NULL, open_send},
    {"open-splice", NULL, open_splice},
    {"open-fallocate", NULL, open_allocate},
    {"open-clone", NULL, open_clone},
    {"open-deduplicate", NULL, open_deduplicate},
    {"open-move-extents", NULL, open_move_extents},
    {"open-swap-boot", NULL, open_swap_boot},
    {"passed-read", NULL, passed_read},
    {"passed-map", NULL, passed_map},
    {"passed-write", NULL, passed_write},
    {"passed-ftruncate", NULL, passed_cut},
    {"passed-store", NULL, passed_store},
    {"passed-copy-in", NULL, passed_copy_in},
    {"passed-ring-write", NULL, passed_ring_write},
    {"passed-open-again", NULL, passed_open},
    {"taken-read", NULL, taken_read},
    {"taken-write", NULL, taken_write},
    {"inherited-read", NULL, inherited_read},
    {"inherited-write", NULL, inherited_write},
    {"proc-fd", NULL, through_proc},
    {"map-files", NULL, through_mapping},
    {"ring-open", NULL, ring_opens},
    {"ring-unlink", NULL, ring_deletes},
};

// Run by a listed app with the file as standard input.
int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--read") == 0) return fd = 0, usleep(200000), -reads();
  if (argc > 1 && strcmp(argv[1], "--write") == 0) {
    fd = 0;
    usleep(200000);
    const int result = writes();
    usleep(200000);
    return -result;
  }
  return go_the_way(ways, sizeof(ways) / sizeof(ways[0]), argc, argv);
}
