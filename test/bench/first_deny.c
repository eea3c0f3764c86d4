// A container's first program: writes a file at once, then opens another until that is denied. Prints the microseconds
// from its first instruction to the denial, 0 when the first open was denied already, -1 when none was within 10 s.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const long began = now_us();
  const int first = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (first < 0 || write(first, "first\n", 6) != 6) return 2;
  close(first);
  for (int tries = 0;; tries++) {
    const int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    const long passed = now_us() - began;
    if (fd < 0 || passed > 10000000) {
      printf("%ld\n", fd >= 0 ? -1 : tries == 0 ? 0 : passed);
      fflush(stdout);
      pause();
    }
    close(fd);
    usleep(500);
  }
}
