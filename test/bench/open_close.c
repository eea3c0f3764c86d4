// Opens and closes a file again and again and prints, in nanoseconds: median p99 mean.
//   open_close FILE COUNT
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

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const size_t count = strtoul(argv[2], NULL, 10);
  uint64_t *const times = calloc(count, sizeof(*times));
  if (times == NULL || count == 0) return 2;
  uint64_t sum = 0;
  const size_t warm_up = count / 10;
  for (size_t i = 0; i < count + warm_up; i++) {
    const uint64_t begin = now_ns();
    const int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
      return 1;
    }
    close(fd);
    if (i < warm_up) continue;
    times[i - warm_up] = now_ns() - begin;
    sum += times[i - warm_up];
  }
  qsort(times, count, sizeof(*times), ascending);
  printf("%lu %lu %lu\n", times[count / 2], times[count * 99 / 100], sum / count);
  return 0;
}
