// Writes a volume as kubelet does (pkg/volume/util/atomic_writer.go): the files in a new folder, a link `..data` to it
// that is renamed over the old one, links of the stable names, then the old folder goes. kubelet lives on: so does this,
// for a moment before and after.
//   atomic_writer VOLUME NAME=CONTENT...
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void write_file(int folder, const char *name, const char *content) {
  int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || write(file, content, strlen(content)) < 0) fail(name);
  // It opens with the umask in force, and sets the mode that is asked for after that.
  if (fchmod(file, 0644) != 0 || fchown(file, 0, 0) != 0 || close(file) != 0) fail(name);
}

static void remove_folder(int volume, const char *name) {
  int folder = openat(volume, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = folder < 0 ? NULL : fdopendir(folder);
  if (entries == NULL) fail(name);
  for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    if (entry->d_name[0] != '.') unlinkat(folder, entry->d_name, 0);
  }
  closedir(entries);
  if (unlinkat(volume, name, AT_REMOVEDIR) != 0) fail(name);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  usleep(50000);
  int volume = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (volume < 0) fail(argv[1]);
  char old[256] = "";
  ssize_t length = readlinkat(volume, "..data", old, sizeof(old) - 1);
  if (length > 0) old[length] = '\0';

  char path[4096];
  snprintf(path, sizeof(path), "%s/..2026_11_21_00_00_00.XXXXXX", argv[1]);
  if (mkdtemp(path) == NULL || chmod(path, 0755) != 0) fail(path);
  const char *name = strrchr(path, '/') + 1;
  int folder = openat(volume, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail(name);
  for (int i = 2; i < argc; i++) {
    char *content = strchr(argv[i], '=');
    if (content == NULL) return 2;
    *content++ = '\0';
    write_file(folder, argv[i], content);
  }
  if (symlinkat(name, volume, "..data_tmp") != 0) fail("..data_tmp");
  if (renameat(volume, "..data_tmp", volume, "..data") != 0) fail("..data");
  for (int i = 2; i < argc; i++) {
    char target[512];
    snprintf(target, sizeof(target), "..data/%s", argv[i]);
    if (symlinkat(target, volume, argv[i]) != 0 && errno != EEXIST) fail(argv[i]);
  }
  if (old[0] != '\0') remove_folder(volume, old);
  usleep(100000);
  return 0;
}
