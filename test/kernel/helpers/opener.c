// Opens one file in the way that is asked for and prints `ok` or the name of the error.
//   opener CALL FLAGS FILE [--threaded] [--write TEXT] [--times N]
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int parse_flags(char *text) {
  static const struct {
    const char *name;
    int value;
  } known[] = {{"O_RDONLY", O_RDONLY},   {"O_WRONLY", O_WRONLY},     {"O_RDWR", O_RDWR},
               {"O_CREAT", O_CREAT},     {"O_EXCL", O_EXCL},         {"O_TRUNC", O_TRUNC},
               {"O_APPEND", O_APPEND},   {"O_PATH", O_PATH},         {"O_DIRECTORY", O_DIRECTORY},
               {"O_TMPFILE", O_TMPFILE}, {"O_NOFOLLOW", O_NOFOLLOW}, {"O_CLOEXEC", O_CLOEXEC}};
  int flags = 0;
  for (char *word = strtok(text, "|"); word != NULL; word = strtok(NULL, "|")) {
    size_t i = 0;
    while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i].name, word) != 0) i++;
    if (i == sizeof(known) / sizeof(known[0])) {
      fprintf(stderr, "unknown flag %s\n", word);
      exit(2);
    }
    flags |= known[i].value;
  }
  return flags;
}

// One openat through io_uring, made by a worker of the kernel's: IOSQE_ASYNC.
static int open_by_io_uring(const char *file, int flags) {
  struct io_uring_params params = {0};
  int ring = (int)syscall(SYS_io_uring_setup, 4, &params);
  if (ring < 0) return -1;
  size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  char *sq = mmap(NULL, sq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  char *cq = mmap(NULL, cq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
  struct io_uring_sqe *sqes = mmap(NULL, params.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE,
                                   MAP_SHARED, ring, IORING_OFF_SQES);
  if (sq == MAP_FAILED || cq == MAP_FAILED || (void *)sqes == MAP_FAILED) return -1;
  sqes[0] = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT,
                                  .flags = IOSQE_ASYNC,
                                  .fd = AT_FDCWD,
                                  .addr = (uintptr_t)file,
                                  .len = 0644,
                                  .open_flags = (uint32_t)flags};
  ((uint32_t *)(sq + params.sq_off.array))[0] = 0;
  __atomic_store_n((uint32_t *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
  int result = ((struct io_uring_cqe *)(cq + params.cq_off.cqes))[0].res;
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

// open(2) by the 32-bit entry of a 64-bit process; its arguments must lie below 4 GB.
static int open_by_int80(const char *file, int flags) {
#ifdef __x86_64__
  char *low =
      mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) return -1;
  strcpy(low, file);
  long result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "0"(5L), "b"(low), "c"((long)flags), "d"(0644L)
                   : "memory", "r8", "r9", "r10", "r11");
  if ((int)result >= 0) return (int)result;
  errno = -(int)result;
  return -1;
#else
  (void)file, (void)flags;
  errno = ENOSYS;
  return -1;
#endif
}

static int reopen_by_path_descriptor(const char *file, int flags) {
  int fd = open(file, O_PATH);
  if (fd < 0) return -1;
  char link[64];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  return open(link, flags, 0644);
}

static int open_once(const char *call, const char *file, int flags) {
  if (strcmp(call, "open") == 0) {
#ifdef SYS_open
    return (int)syscall(SYS_open, file, flags, 0644);
#else
    return open(file, flags, 0644);
#endif
  }
  if (strcmp(call, "openat") == 0) return (int)syscall(SYS_openat, AT_FDCWD, file, flags, 0644);
  if (strcmp(call, "creat") == 0) return creat(file, 0644);
  if (strcmp(call, "openat2") == 0) {
    struct open_how how = {.flags = (uint64_t)flags, .mode = (flags & O_CREAT) != 0 ? 0644 : 0};
    return (int)syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof(how));
  }
  if (strcmp(call, "io_uring") == 0) return open_by_io_uring(file, flags);
  if (strcmp(call, "int80") == 0) return open_by_int80(file, flags);
  if (strcmp(call, "path_reopen") == 0) return reopen_by_path_descriptor(file, flags);
  fprintf(stderr, "unknown call %s\n", call);
  exit(2);
}

static void *sleep_for_ever(void *unused) {
  (void)unused;
  for (;;) pause();
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const int flags = parse_flags(argv[2]);
  const char *text = NULL;
  long times = 1;
  for (int i = 4; i < argc; i++) {
    if (strcmp(argv[i], "--threaded") == 0) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, sleep_for_ever, NULL) != 0) return 2;
    } else if (strcmp(argv[i], "--write") == 0 && i + 1 < argc) {
      text = argv[++i];
    } else if (strcmp(argv[i], "--times") == 0 && i + 1 < argc) {
      times = atol(argv[++i]);
    } else {
      return 2;
    }
  }
  for (long i = 0; i < times; i++) {
    const int fd = open_once(argv[1], argv[3], flags);
    if (fd < 0) {
      puts(strerrorname_np(errno));
      return 1;
    }
    if (text != NULL && write(fd, text, strlen(text)) < 0) {
      puts(strerrorname_np(errno));
      return 1;
    }
    char byte;
    if (text == NULL && (flags & O_ACCMODE) != O_WRONLY && (flags & O_PATH) == 0) {
      (void)!read(fd, &byte, 1);
    }
    close(fd);
  }
  puts("ok");
  return 0;
}
