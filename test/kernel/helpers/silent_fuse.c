// Mounts filesystems whose server never answers: silent_fuse PLACE..., each a file or a directory. Says "mounted", and
// holds them until it ends, with which every request fails.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    struct stat place;
    const int server = open("/dev/fuse", O_RDWR);
    if (server < 0 || stat(argv[i], &place) != 0) {
      perror(argv[i]);
      return 1;
    }
    char options[100];
    snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other", server,
             place.st_mode & S_IFMT);
    if (mount("silent", argv[i], "fuse", 0, options) != 0) {
      perror("mount");
      return 1;
    }
  }
  puts("mounted");
  fflush(stdout);
  for (;;) pause();
}
