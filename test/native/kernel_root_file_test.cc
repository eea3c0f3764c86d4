#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "native/kernel/process_files.h"
#include "native/kernel/root_file.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::Child;
using testing::Eventually;
using testing::TempDirectory;

class RootFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"root", "root/etc"}) {
      ASSERT_EQ(::mkdir(directory_.Path(name).c_str(), 0755), 0);
    }
    directory_.Write("outside", "outside");
    directory_.Write("root/inside", "inside");
    root_ = UniqueFd(::open(directory_.Path("root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(root_);
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(::symlink(target.c_str(), directory_.Path("root/" + name).c_str()), 0);
  }
  // Its content, or the error.
  std::string Read(const std::string& path, size_t most_bytes = 1000) {
    const Result<FileContent> content = ReadInRoot(root_.get(), ::getpid(), path, most_bytes);
    return content ? content->bytes : ::strerrorname_np(content.error().error_number);
  }

  TempDirectory directory_;
  UniqueFd root_;
};

TEST_F(RootFileTest, LinksLeadNowhereButIntoTheRoot) {
  Link("/inside", "absolute");
  Link("../../../inside", "upwards");
  Link("/outside", "absent");
  Link("../outside", "also-absent");
  EXPECT_EQ(Read("/inside"), "inside");
  EXPECT_EQ(Read("inside"), "inside");
  EXPECT_EQ(Read("/absolute"), "inside");
  EXPECT_EQ(Read("/upwards"), "inside");
  EXPECT_EQ(Read("/../inside"), "inside");
  EXPECT_EQ(Read("/absent"), "ENOENT");
  EXPECT_EQ(Read("/also-absent"), "ENOENT");
}

TEST_F(RootFileTest, TheKernelsOwnLinksLeadNowhereAtAll) {
  SKIP_UNLESS_ROOT();
  const UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Result<UniqueFd> file = FindInRoot(proc.get(), ::getpid(), "/self/root/etc/passwd", 0);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().error_number, ELOOP);
}

TEST_F(RootFileTest, NothingButARegularFileIsOpened) {
  ASSERT_EQ(::mkfifo(directory_.Path("root/fifo").c_str(), 0644), 0);
  EXPECT_EQ(Read("/fifo"), "EINVAL") << "and nobody waited for its other end";
  EXPECT_EQ(Read("/etc"), "EINVAL");
  Link("/fifo", "to-fifo");
  EXPECT_EQ(Read("/to-fifo"), "EINVAL");
  EXPECT_FALSE(VersionInRoot(root_.get(), ::getpid(), "/fifo").identity.known());
  EXPECT_EQ(Read("/nothing"), "ENOENT");
  SKIP_UNLESS_ROOT();
  ASSERT_EQ(::mknod(directory_.Path("root/null").c_str(), S_IFCHR | 0644, makedev(1, 3)), 0);
  EXPECT_EQ(Read("/null"), "EINVAL");
}

TEST_F(RootFileTest, NoMoreIsReadThanAskedFor) {
  directory_.Write("root/large", std::string(300'000, 'x'));
  const auto cut = [this](size_t most_bytes) {
    const Result<FileContent> content = ReadInRoot(root_.get(), ::getpid(), "/large", most_bytes);
    EXPECT_EQ(content->bytes, std::string(std::min<size_t>(most_bytes, 300'000), 'x'));
    return content->cut;
  };
  EXPECT_TRUE(cut(0));
  EXPECT_TRUE(cut(70'000));
  EXPECT_TRUE(cut(299'999));
  EXPECT_FALSE(cut(300'000));
  EXPECT_FALSE(cut(1'000'000));
}

TEST_F(RootFileTest, TheVersionTellsAChangeAndAReplacement) {
  const FileVersion first = VersionInRoot(root_.get(), ::getpid(), "/inside");
  EXPECT_TRUE(first.identity.known());
  EXPECT_EQ(first, ReadInRoot(root_.get(), ::getpid(), "/inside", 10)->version);
  directory_.Write("root/inside", "longer than before");
  const FileVersion second = VersionInRoot(root_.get(), ::getpid(), "/inside");
  EXPECT_EQ(second.identity, first.identity);
  EXPECT_NE(second, first);
  directory_.Write("root/new", "longer than before");
  ASSERT_EQ(::rename(directory_.Path("root/new").c_str(), directory_.Path("root/inside").c_str()),
            0);
  EXPECT_NE(VersionInRoot(root_.get(), ::getpid(), "/inside").identity, first.identity);
}

TEST_F(RootFileTest, AProcessIsTheOneThatStartedThen) {
  SKIP_UNLESS_ROOT();
  Child child([this] {
    if (::chroot(directory_.Path("root").c_str()) != 0 || ::chdir("/") != 0) return 1;
    return ::pause();
  });
  const auto hertz = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  const uint64_t ticks = *StartTime(child.pid()) / (1'000'000'000u / hertz);
  ASSERT_TRUE(Eventually([&] { return PlaceOf(child.pid()) != PlaceOf(::getpid()); }));
  const Result<ProcessRoot> process = OpenProcessRoot(child.pid(), ticks);
  ASSERT_TRUE(process) << process.error().Message();
  EXPECT_EQ(ReadInRoot(process->root.get(), child.pid(), "/inside", 100)->bytes, "inside");
  const Result<ProcessRoot> other = OpenProcessRoot(child.pid(), ticks + 1);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().error_number, ESRCH);
  const pid_t pid = child.pid();
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(testing::AwaitReadable(process->pidfd.get()));
  EXPECT_FALSE(OpenProcessRoot(pid, ticks)) << "a zombie has no root";
}

// A process with mounts of its own: a tmpfs, a file bound onto another, a FUSE whose server never
// answers, and a link from one mount into another.
TEST_F(RootFileTest, NoMountIsEnteredThatMayHang) {
  SKIP_UNLESS_ROOT();
  const std::string root = directory_.Path("root");
  for (const char* name : {"tmp", "fuse"}) {
    ASSERT_EQ(::mkdir((root + "/" + name).c_str(), 0755), 0);
  }
  directory_.Write("root/etc/passwd", "below");
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  Child child([&] {
    const UniqueFd server(::open("/dev/fuse", O_RDWR));
    const std::string options =
        "fd=" + std::to_string(server.get()) + ",rootmode=40000,user_id=0,group_id=0";
    const bool mounted =
        ::unshare(CLONE_NEWNS) == 0 && ::mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0 &&
        ::mount("tmpfs", (root + "/tmp").c_str(), "tmpfs", 0, "") == 0 &&
        ::mount((root + "/inside").c_str(), (root + "/etc/passwd").c_str(), "", MS_BIND, "") == 0;
    const bool hangs = mounted && server &&
                       ::mount("x", (root + "/fuse").c_str(), "fuse", 0, options.c_str()) == 0;
    if (mounted) {
      (void)!::mkdir((root + "/tmp/a").c_str(), 0755);
      std::filesystem::copy_file(root + "/inside", root + "/tmp/a/file");
      std::filesystem::create_symlink("../tmp/a/file", root + "/etc/to-tmp");
      std::filesystem::create_symlink("a/file", root + "/tmp/within");
      std::filesystem::create_symlink("../../outside", root + "/tmp/out");
    }
    const char told = hangs ? 'h' : mounted ? 'm' : 'n';
    (void)!::write(ready[1], &told, 1);
    return ::pause();
  });
  char told = 'n';
  ASSERT_EQ(::read(ready[0], &told, 1), 1);
  if (told == 'n') GTEST_SKIP() << "no mounts here";
  const std::string theirs = "/proc/" + std::to_string(child.pid()) + "/root" + root;
  const UniqueFd fd(::open(theirs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto read = [&](const std::string& path) {
    const Result<FileContent> content = ReadInRoot(fd.get(), child.pid(), path, 100);
    return content ? content->bytes : ::strerrorname_np(content.error().error_number);
  };
  EXPECT_EQ(read("/inside"), "inside");
  EXPECT_EQ(read("/tmp/a/file"), "inside") << "a mount like any other";
  EXPECT_EQ(read("tmp//a/./file"), "inside");
  EXPECT_EQ(read("/tmp/within"), "inside");
  EXPECT_EQ(read("/etc/passwd"), "inside") << "what is bound there";
  EXPECT_EQ(read("/etc/to-tmp"), "EXDEV");
  EXPECT_EQ(read("/tmp/out"), "EXDEV");
  EXPECT_EQ(read("/tmp/nothing"), "ENOENT");
  if (told != 'h') GTEST_SKIP() << "no FUSE here";
  EXPECT_EQ(read("/fuse/file"), "EXDEV") << "and nobody waited for the server";
  EXPECT_EQ(read("/fuse"), "EXDEV");
}

}  // namespace
}  // namespace fileward
