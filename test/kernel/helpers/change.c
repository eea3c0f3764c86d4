// One change in the way that is asked for, by a process that lives on for a moment before and
// after: of one that comes and goes within the time that a busy machine takes to look, fileward
// says `process_gone`. Prints `ok` or the error.
//   change create|delete|mkdir FILE | write FILE TEXT | rename|link|symlink FROM TO | chmod FILE
//   MODE | truncate FILE SIZE
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int opened(const char *file, int flags, const char *text) {
  const int fd = open(file, flags | O_CLOEXEC, 0644);
  if (fd < 0) return -1;
  const int written = (int)write(fd, text, strlen(text));
  close(fd);
  return written < 0 ? -1 : 0;
}

static int change(const char *verb, const char *file, const char *other) {
  if (strcmp(verb, "create") == 0) return opened(file, O_WRONLY | O_CREAT | O_EXCL, "");
  if (strcmp(verb, "delete") == 0) return unlink(file);
  if (strcmp(verb, "mkdir") == 0) return mkdir(file, 0755);
  if (other == NULL) exit(2);
  if (strcmp(verb, "write") == 0) return opened(file, O_WRONLY | O_APPEND, other);
  if (strcmp(verb, "rename") == 0) return rename(file, other);
  if (strcmp(verb, "link") == 0) return link(file, other);
  if (strcmp(verb, "symlink") == 0) return symlink(file, other);
  if (strcmp(verb, "chmod") == 0) return chmod(file, (mode_t)strtol(other, NULL, 8));
  if (strcmp(verb, "truncate") == 0) return truncate(file, strtol(other, NULL, 10));
  exit(2);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *slowness = getenv("FILEWARD_TEST_SLOWNESS");
  const useconds_t moment = 150000 * (slowness == NULL ? 1 : (useconds_t)atoi(slowness));
  usleep(moment);
  const int result = change(argv[1], argv[2], argv[3]);
  puts(result == 0 ? "ok" : strerrorname_np(errno));
  fflush(stdout);
  usleep(moment);
  return result == 0 ? 0 : 1;
}
