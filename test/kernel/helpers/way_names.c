// Ways that have to do with names, folders and attributes: see way.h.
#include "way.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

static int link_out(void) { return link(file, out("link")); }
static int read_link(void) { return opens(out("link"), O_RDONLY); }
static int link_and_read(void) {
  if (link_out() != 0) return -1;
  usleep(100000);
  return read_link();
}
static int link_by_path_descriptor(void) {
  const int fd = open(file, O_PATH | O_CLOEXEC);
  if (fd < 0) return -1;
  // Without CAP_DAC_READ_SEARCH by way of /proc.
  char self[64];
  snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
  if (linkat(fd, "", AT_FDCWD, out("link"), AT_EMPTY_PATH) != 0 &&
      linkat(AT_FDCWD, self, AT_FDCWD, out("link"), AT_SYMLINK_FOLLOW) != 0)
    return -1;
  usleep(100000);
  return read_link();
}
static int move_and_read(void) {
  if (rename(file, out("moved")) != 0) return -1;
  return opens(out("moved"), O_RDONLY);
}
static int move_over(void) { return rename(out("other"), file); }
static int exchange(void) {
  if (renameat2(AT_FDCWD, file, AT_FDCWD, out("other"), RENAME_EXCHANGE) != 0) return -1;
  return opens(out("other"), O_RDONLY);
}
static int whiteout(void) {
  if (renameat2(AT_FDCWD, file, AT_FDCWD, out("moved"), RENAME_WHITEOUT) != 0) return -1;
  return opens(out("moved"), O_RDONLY);
}
static int delete_it(void) { return unlink(file); }
static int symlink_to_it(void) {
  if (symlink(file, out("symlink")) != 0) return -1;
  return opens(out("symlink"), O_RDONLY);
}
static int symlink_in_its_place(void) {
  if (unlink(file) != 0) return -1;
  return symlink(out("other"), file);
}
// The folder goes, another takes its place, with a file in it that was made
// outside.
static int swap_folder(void) {
  if (mkdir(out("fresh"), 0755) != 0 || rename(out("other"), as_named(out("fresh"))) != 0)
    return -1;
  if (rename(folder(), out("folder")) != 0) return -1;
  return rename(out("fresh"), folder());
}
static int move_folder_and_read(void) {
  if (rename(folder(), out("folder")) != 0) return -1;
  return opens(as_named(out("folder")), O_RDONLY);
}
static int symlink_for_folder(void) {
  if (rename(folder(), out("folder")) != 0) return -1;
  return symlink(outside, folder());
}
// Goes on at once: the kernel makes the folder, and only then anybody can mark
// it.
static int fill_new_folder(void) {
  if (mkdir(beside("new"), 0755) != 0) return -1;
  return opens(beside("new/file"), O_WRONLY | O_CREAT | O_EXCL);
}
static int make_outside_and_link_in(void) {
  const int fd = open(outside, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
  char self[64];
  if (fd < 0 || write(fd, "x", 1) != 1) return -1;
  snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, self, AT_FDCWD, beside("new"), AT_SYMLINK_FOLLOW);
}
static int make_nameless_in_folder(void) { return opens(folder(), O_TMPFILE | O_RDWR); }
static int cut(void) { return truncate(file, 1); }
static int change_mode(void) { return chmod(file, 0600); }
static int change_owner(void) { return chown(file, 1, 1); }
static int change_times(void) {
  const struct timespec times[2] = {{1, 0}, {1, 0}};
  return utimensat(AT_FDCWD, file, times, 0);
}
static int set_attribute(void) { return setxattr(file, "user.way", "x", 1, 0); }
static int remove_attribute(void) { return removexattr(file, "user.before"); }
static int give_attribute(void) { return setxattr(file, "user.before", "x", 1, 0); }
// user::rwx user:1:rwx group::r-x mask::r-x other::r-x of a file with mode 755:
// the mode stays.
static int set_acl(void) {
  static const struct {
    uint32_t version;
    struct {
      uint16_t tag, permission;
      uint32_t id;
    } entries[5];
  } acl = {2, {{1, 7, ~0U}, {2, 7, 1}, {4, 5, ~0U}, {16, 5, ~0U}, {32, 5, ~0U}}};
  return setxattr(file, "system.posix_acl_access", &acl, sizeof(acl), 0);
}
static int set_flags(void) {
  const int fd = open(file, O_RDONLY | O_CLOEXEC);
  int flags = 0;
  if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return -1;
  flags |= FS_NODUMP_FL;
  return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}
// file_setattr(2), since 6.17: the same by path.
static int set_flags_by_path(void) {
  struct {
    uint64_t xflags;
    uint32_t extsize, nextents, projid, cowextsize;
  } attributes = {0x80 /* FS_XFLAG_NODUMP */, 0, 0, 0, 0};
  return (int)syscall(469, AT_FDCWD, file, &attributes, sizeof(attributes), 0);
}

static const struct way ways[] = {
    {"link-before", link_out, read_link},
    {"link-after", NULL, link_and_read},
    {"link-by-path-descriptor", NULL, link_by_path_descriptor},
    {"move-away", NULL, move_and_read},
    {"move-over", NULL, move_over},
    {"exchange", NULL, exchange},
    {"whiteout", NULL, whiteout},
    {"delete", NULL, delete_it},
    {"symlink-to-it", NULL, symlink_to_it},
    {"symlink-in-its-place", NULL, symlink_in_its_place},
    {"swap-folder", NULL, swap_folder},
    {"move-folder", NULL, move_folder_and_read},
    {"symlink-for-folder", NULL, symlink_for_folder},
    {"new-folder", NULL, fill_new_folder},
    {"tmpfile-outside", NULL, make_outside_and_link_in},
    {"tmpfile-inside", NULL, make_nameless_in_folder},
    {"truncate", NULL, cut},
    {"chmod", NULL, change_mode},
    {"chown", NULL, change_owner},
    {"utimes", NULL, change_times},
    {"setxattr", NULL, set_attribute},
    {"removexattr", give_attribute, remove_attribute},
    {"acl", NULL, set_acl},
    {"setflags", NULL, set_flags},
    {"file-setattr", NULL, set_flags_by_path},
};
WAYS_MAIN(ways)
