// Ways that have to do with mounts, roots, devices and what the kernel itself
// opens: see way.h.
#include "way.h"

#include <linux/loop.h>
#include <linux/mount.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>

static int empty(const char *path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  return fd < 0 ? -1 : close(fd);
}
static int bind_at(const char *from, const char *to) {
  return mount(from, to, NULL, MS_BIND, NULL);
}

// In this mount namespace, where only root may.
static int bind_here(void) {
  if (empty(out("bound")) != 0 || bind_at(file, out("bound")) != 0) return -1;
  const int result = opens(out("bound"), O_RDONLY);
  const int error = errno;
  umount2(out("bound"), MNT_DETACH);
  errno = error;
  return result;
}
static int bind_in_namespace(void) {
  if (empty(out("bound")) != 0 || own_mounts() != 0 || bind_at(file, out("bound")) != 0) return -1;
  return opens(out("bound"), O_RDONLY);
}
static int move_the_mount(void) {
  if (mkdir(out("one"), 0755) != 0 || mkdir(out("two"), 0755) != 0 || own_mounts() != 0 ||
      bind_at(folder(), out("one")) != 0 || mount(out("one"), out("two"), NULL, MS_MOVE, NULL) != 0)
    return -1;
  return opens(as_named(out("two")), O_RDONLY);
}
static int detached_tree(void) {
  if (own_mounts() != 0) return -1;
  const int tree = (int)syscall(SYS_open_tree, AT_FDCWD, folder(), OPEN_TREE_CLONE);
  if (tree < 0) return -1;
  return use(openat(tree, as_named("") + 1, O_RDONLY));
}
static int chrooted(void) {
  if (own_mounts() != 0 || chroot(folder()) != 0) return -1;
  return opens(as_named(""), O_RDONLY);
}
static int pivoted(void) {
  if (own_mounts() != 0 || bind_at(folder(), folder()) != 0 || chdir(folder()) != 0 ||
      syscall(SYS_pivot_root, ".", ".") != 0)
    return -1;
  return opens(as_named(""), O_RDONLY);
}
static int overlay(void) {
  char options[8400];
  snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", folder(), out("upper"),
           out("work"));
  if (mkdir(out("upper"), 0755) != 0 || mkdir(out("work"), 0755) != 0 ||
      mkdir(out("merged"), 0755) != 0 || own_mounts() != 0)
    return -1;
  return mount("overlay", out("merged"), "overlay", 0, options);
}
static int overlay_read(void) {
  return overlay() != 0 ? -1 : opens(as_named(out("merged")), O_RDONLY);
}
static int overlay_write(void) {
  return overlay() != 0 ? -1 : opens(as_named(out("merged")), O_WRONLY);
}
// OUTSIDE is the part of the layer that FILE's folder shows.
static int layer_read(void) { return opens(as_named(out("folder")), O_RDONLY); }
static int layer_write(void) { return opens(as_named(out("folder")), O_WRONLY); }

// What a listed app then reads is another file.
static int mount_over(const char *what, const char *place) {
  if (bind_at(what, place) != 0) return -1;
  usleep(300000);
  char *const listed[] = {(char *)app, "open", (char *)file, NULL};
  const int result = runs(listed);
  const int error = errno;
  umount2(place, MNT_DETACH);
  errno = error;
  return result;
}
static int mount_over_file(void) { return mount_over(out("other"), file); }
static int mount_over_folder(void) {
  if (mkdir(out("fresh"), 0755) != 0 || rename(out("other"), as_named(out("fresh"))) != 0)
    return -1;
  return mount_over(out("fresh"), folder());
}

static int by_handle(void) {
  struct {
    struct file_handle head;
    unsigned char bytes[128];
  } handle = {.head.handle_bytes = 128};
  int mount_id;
  if (name_to_handle_at(AT_FDCWD, file, &handle.head, &mount_id, 0) != 0) return -1;
  const int mount_fd = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return use(open_by_handle_at(mount_fd, &handle.head, O_RDONLY));
}
// The device under the file system, with the file's own blocks as e2fsprogs
// finds them.
static int raw_device(void) {
  struct stat status;
  char device[4200] = "/dev/", link[64], request[64], target[4100] = "";
  if (stat(file, &status) != 0) return -1;
  snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(status.st_dev), minor(status.st_dev));
  if (readlink(link, target, sizeof(target) - 1) <= 0) return -1;
  strcat(device, strrchr(target, '/') + 1);
  snprintf(request, sizeof(request), "dump <%lu> %s", status.st_ino, "/dev/null");
  if (opens(device, O_RDONLY) != 0) return -1;
  char *const debugfs[] = {"/sbin/debugfs", "-R", request, device, NULL};
  return runs(debugfs);
}
static int loop_device(void) {
  const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  const int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
  char device[32];
  snprintf(device, sizeof(device), "/dev/loop%d", number);
  const int fd = number < 0 ? -1 : open(file, O_RDONLY | O_CLOEXEC);
  const int loop = fd < 0 ? -1 : open(device, O_RDONLY | O_CLOEXEC);
  if (loop < 0 || ioctl(loop, LOOP_SET_FD, fd) != 0) return -1;
  const int result = use(loop);
  ioctl(loop, LOOP_CLR_FD, 0);
  return result;
}
static int swap_on(void) {
  if (swapon(file, 0) != 0) return -1;
  swapoff(file);
  return 0;
}
static int account(void) {
  if (acct(file) != 0) return -1;
  acct(NULL);
  return 0;
}
// The kernel writes `core` into the working folder: the file has that name for
// it.
static int dump_core(void) {
  const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  const pid_t child = fork();
  if (child == 0) {
    if (chdir(folder()) != 0) _exit(1);
    prctl(PR_SET_DUMPABLE, 1);
    setrlimit(RLIMIT_CORE, &unlimited);
    abort();
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return -1;
  errno = EPERM;
  return WCOREDUMP(status) ? 0 : -1;
}
// A fanotify group of one's own gets a descriptor with each event, which no
// other group is asked about.
static int listens(void) {
  const int group = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDWR | O_CLOEXEC);
  if (group < 0 || fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, file) != 0) return -1;
  char *const listed[] = {(char *)app, "open", (char *)file, NULL};
  if (runs(listed) != 0) return -1;
  struct fanotify_event_metadata event;
  if (read(group, &event, sizeof(event)) != sizeof(event) || event.fd < 0) return -1;
  return pwrite(event.fd, "x", 1, 0) == 1 ? use(event.fd) : -1;
}

static const struct way ways[] = {
    {"bind", NULL, bind_here},
    {"bind-in-namespace", NULL, bind_in_namespace},
    {"move-mount", NULL, move_the_mount},
    {"open-tree", NULL, detached_tree},
    {"chroot", NULL, chrooted},
    {"pivot-root", NULL, pivoted},
    {"overlay-read", NULL, overlay_read},
    {"overlay-write", NULL, overlay_write},
    {"layer-read", NULL, layer_read},
    {"layer-write", NULL, layer_write},
    {"mount-over-file", NULL, mount_over_file},
    {"mount-over-folder", NULL, mount_over_folder},
    {"handle", NULL, by_handle},
    {"raw-device", NULL, raw_device},
    {"loop-device", NULL, loop_device},
    {"swapon", NULL, swap_on},
    {"acct", NULL, account},
    {"core", NULL, dump_core},
    {"fanotify", NULL, listens},
};
WAYS_MAIN(ways)
