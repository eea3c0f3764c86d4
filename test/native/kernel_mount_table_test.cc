#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "native/kernel/mount_table.h"

namespace fileward {
namespace {

TEST(MountTable, ReadsWhatTheKernelWrites) {
  const auto entries = ParseMountTable(
      "36 35 98:0 /a\\040b /mnt/x\\134y rw,noatime master:1 shared:2 - ext4 /dev/sda rw,errors=x\n"
      "40 36 0:50 / / rw - overlay  rw,lowerdir=/l\\0541,upperdir=/u\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].id, 36U);
  EXPECT_EQ(entries[0].dev, makedev(98, 0));
  EXPECT_EQ(entries[0].root, "/a b");
  EXPECT_EQ(entries[0].point, "/mnt/x\\y");
  EXPECT_EQ(entries[0].type, "ext4");
  EXPECT_EQ(entries[0].options, "rw,errors=x");
  // An empty source, and options as they are escaped: their commas would be lost.
  EXPECT_EQ(entries[1].type, "overlay");
  EXPECT_EQ(entries[1].options, "rw,lowerdir=/l\\0541,upperdir=/u");
}

TEST(MountTable, LeavesOutWhatIsNone) {
  EXPECT_TRUE(ParseMountTable("").empty());
  EXPECT_TRUE(ParseMountTable("\n\nx\n36 35 98 / / rw - ext4 s rw\n36 35 98:0 / / rw\n").empty());
  EXPECT_EQ(UnescapeMountText("a\\"), "a\\");
  EXPECT_EQ(UnescapeMountText("\\9zz\\04"), "\\9zz\\04");
}

TEST(MountTable, HasTheRootThatStatSees) {
  const auto mounts = ReadMountTable("self");
  ASSERT_TRUE(mounts.ok());
  struct stat root {};
  ASSERT_EQ(stat("/", &root), 0);
  EXPECT_TRUE(std::any_of(mounts->begin(), mounts->end(), [&](const MountEntry& mount) {
    return mount.point == "/" && mount.dev == root.st_dev;
  }));
  EXPECT_FALSE(ReadMountTable("0").ok());
}

}  // namespace
}  // namespace fileward
