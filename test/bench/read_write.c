// Reads or writes one byte of a file again and again, or opens and closes the files of a folder in turn, and prints, in
// nanoseconds: median p99.
//   read_write read|write|files FILE COUNT
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int ascending(const void *left, const void *right) {
  const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

// FOLDER/0, FOLDER/1, ...: each is opened for the first time.
static int open_number(const char *folder, size_t number) {
  char path[4096];
  snprintf(path, sizeof(path), "%s/%zu", folder, number);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd < 0 ? -1 : 0;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const size_t count = strtoul(argv[3], NULL, 10);
  uint64_t *const times = calloc(count, sizeof(*times));
  const int files = strcmp(argv[1], "files") == 0;
  const int writes = strcmp(argv[1], "write") == 0;
  const int fd = files ? 0 : open(argv[2], writes ? O_RDWR : O_RDONLY);
  if (times == NULL || count == 0 || fd < 0) return 2;
  for (size_t i = 0; i < count; i++) {
    char byte = 'x';
    const uint64_t begin = now_ns();
    const ssize_t done = files    ? open_number(argv[2], i)
                         : writes ? pwrite(fd, &byte, 1, 0)
                                  : pread(fd, &byte, 1, 0);
    if (done < 0) {
      fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
      return 1;
    }
    times[i] = now_ns() - begin;
  }
  qsort(times, count, sizeof(*times), ascending);
  printf("%lu %lu\n", times[count / 2], times[count * 99 / 100]);
  return 0;
}
