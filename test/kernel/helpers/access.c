// access CALL FD OTHER [--threaded]: reads or writes the file that descriptor FD was given for, by one system call.
// OTHER is a file that no rule covers. Says `ok`, or the name of the error.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char byte = 'x';
static struct iovec one = {&byte, 1};
static loff_t start = 0, at = 0;

static long map(int fd, int prot, int flags) {
  return mmap(NULL, 4096, prot, flags, fd, 0) == MAP_FAILED ? -1 : 0;
}

// Its arguments lie in memory.
static long submit(int fd, int opcode) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 1, &context) != 0) return -1;
  struct iocb block = {
      .aio_lio_opcode = (uint16_t)opcode, .aio_fildes = (uint32_t)fd, .aio_buf = (uintptr_t)&byte, .aio_nbytes = 1};
  struct iocb *blocks[] = {&block};
  return syscall(SYS_io_submit, context, 1, blocks) == 1 ? 0 : -1;
}

// read(2) by the 32-bit entry of a 64-bit process; its buffer must lie below 4 GB.
static long read_by_int80(int fd) {
#ifdef __x86_64__
  char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) return -1;
  long result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "0"(3L), "b"((long)fd), "c"(low), "d"(1L)
                   : "memory", "r8", "r9", "r10", "r11");
  if ((int)result >= 0) return 0;
  errno = -(int)result;
#else
  (void)fd;
  errno = ENOSYS;
#endif
  return -1;
}

static long access_by(const char *call, int fd, int other, const int pipes[2]) {
  if (strcmp(call, "read") == 0) return read(fd, &byte, 1);
  if (strcmp(call, "pread") == 0) return pread(fd, &byte, 1, 0);
  if (strcmp(call, "readv") == 0) return readv(fd, &one, 1);
  if (strcmp(call, "preadv") == 0) return preadv(fd, &one, 1, 0);
  if (strcmp(call, "preadv2") == 0) return preadv2(fd, &one, 1, 0, 0);
  if (strcmp(call, "write") == 0) return write(fd, &byte, 1);
  if (strcmp(call, "pwrite") == 0) return pwrite(fd, &byte, 1, 0);
  if (strcmp(call, "writev") == 0) return writev(fd, &one, 1);
  if (strcmp(call, "pwritev") == 0) return pwritev(fd, &one, 1, 0);
  if (strcmp(call, "pwritev2") == 0) return pwritev2(fd, &one, 1, 0, 0);
  if (strcmp(call, "ftruncate") == 0) return ftruncate(fd, 100);
  if (strcmp(call, "fallocate") == 0) return fallocate(fd, 0, 0, 100);
  if (strcmp(call, "map private") == 0) return map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  if (strcmp(call, "map shared") == 0) return map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
  // It could be made writable later, and nothing would ask then.
  if (strcmp(call, "map shared to read") == 0) return map(fd, PROT_READ, MAP_SHARED);
  if (strcmp(call, "copy_file_range from") == 0) return copy_file_range(fd, &start, other, &at, 1, 0);
  if (strcmp(call, "copy_file_range to") == 0) return copy_file_range(other, &start, fd, &at, 1, 0);
  if (strcmp(call, "sendfile from") == 0) return sendfile(other, fd, &start, 1);
  if (strcmp(call, "sendfile to") == 0) return sendfile(fd, other, &start, 1);
  if (strcmp(call, "splice from") == 0) return splice(fd, &start, pipes[1], NULL, 1, 0);
  if (strcmp(call, "splice to") == 0) return splice(pipes[0], NULL, fd, &start, 1, 0);
  if (strcmp(call, "io_submit to read") == 0) return submit(fd, IOCB_CMD_PREAD);
  if (strcmp(call, "32-bit read") == 0) return read_by_int80(fd);
  fprintf(stderr, "unknown call %s\n", call);
  exit(2);
}

static void *stay(void *nothing) {
  for (;;) pause();
  return nothing;
}

int main(int count, char **args) {
  if (count < 4) return 2;
  const int other = open(args[3], O_RDWR);
  int pipes[2];
  pthread_t thread;
  if (other < 0 || pipe(pipes) != 0 || write(pipes[1], "p", 1) != 1) return 2;
  if (count > 4 && pthread_create(&thread, NULL, stay, NULL) != 0) return 2;
  const long result = access_by(args[1], atoi(args[2]), other, pipes);
  puts(result >= 0 ? "ok" : strerrorname_np(errno));
  fflush(stdout);
  // Of a process that comes and goes within the time that a busy machine takes to look, little can be told.
  usleep(100000);
  return 0;
}
