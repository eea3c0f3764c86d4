// What an opener is about to do, as seen while it waits for its verdict.
#include <linux/openat2.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "native/kernel/fanotify_group.h"
#include "native/kernel/process_files.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::AwaitReadable;
using testing::Child;
using testing::Eventually;
using testing::TempDirectory;

class IntentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    static const KernelFeatures features = ProbeKernelFeatures();
    Result<PermissionGroup> group = PermissionGroup::Open(features);
    ASSERT_TRUE(group.ok()) << group.error().Message();
    group_ = std::make_unique<PermissionGroup>(*std::move(group));
    path_ = directory_.Write("file");
    ASSERT_TRUE(group_->MarkFile(AT_FDCWD, path_.c_str(), FAN_OPEN_PERM).ok());
  }

  struct Seen {
    SyscallState state;
    OpenCallInfo info;
    uint64_t flags = 0;
    bool how_read = false;
    open_how how{};
  };

  // Runs `opener` in a child and looks at it while it is parked.
  Seen Watch(const std::function<void()>& opener) {
    Child child([&] {
      opener();
      return 0;
    });
    Seen seen;
    std::vector<PermissionEvent> events;
    EXPECT_TRUE(AwaitReadable(group_->fd()));
    const Result<size_t> read = group_->Read(events, 1);
    EXPECT_TRUE(read.ok());
    if (events.size() != 1) return seen;
    const int32_t tid = events[0].tid;
    EXPECT_TRUE(Eventually([&] {
      seen.state = SyscallOf(tid);
      return seen.state.kind != SyscallState::Kind::kRunning;
    }));
    seen.info = ClassifyOpenCall(seen.state.number, tid);
    if (seen.info.flags_argument >= 0) {
      seen.flags = seen.state.args[static_cast<size_t>(seen.info.flags_argument)];
    }
    if (seen.info.how_argument >= 0) {
      seen.how_read =
          ReadPrivateMemory(tid, seen.state.args[static_cast<size_t>(seen.info.how_argument)],
                            &seen.how, sizeof(seen.how));
    }
    group_->Answer(std::array{Response{events[0].raw_fd, false}});
    child.Wait();
    return seen;
  }

  long OpenAt2(open_how* how) {
    return ::syscall(SYS_openat2, AT_FDCWD, path_.c_str(), how, sizeof(*how));
  }

  TempDirectory directory_;
  std::string path_;
  std::unique_ptr<PermissionGroup> group_;
};

TEST_F(IntentTest, FlagsOfOpenat) {
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT}) {
    const Seen seen = Watch([&] { ::openat(AT_FDCWD, path_.c_str(), flags, 0600); });
    EXPECT_EQ(seen.info.call, OpenCall::kOpenat);
    EXPECT_FALSE(seen.info.compat);
    EXPECT_EQ(seen.flags & (O_ACCMODE | O_TRUNC | O_CREAT), static_cast<uint64_t>(flags));
  }
}

#if defined(__x86_64__)
TEST_F(IntentTest, OlderCalls) {
  Seen seen = Watch([&] { ::syscall(SYS_open, path_.c_str(), O_WRONLY); });
  EXPECT_EQ(seen.info.call, OpenCall::kOpen);
  EXPECT_EQ(seen.flags, uint64_t{O_WRONLY});
  seen = Watch([&] { ::syscall(SYS_creat, path_.c_str(), 0600); });
  EXPECT_EQ(seen.info.call, OpenCall::kCreat);
  EXPECT_EQ(seen.info.flags_argument, -1);
}

// Its number is fstat's in the 64-bit table, and the program is a 64-bit one: not proven to be
// anything.
TEST_F(IntentTest, A32BitCallOfA64BitProgramIsUnknown) {
  const Seen seen = Watch([&] {
    void* low = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    std::strcpy(static_cast<char*>(low), path_.c_str());
    long result = 5;  // open
    asm volatile("int $0x80" : "+a"(result) : "b"(low), "c"(O_RDONLY), "d"(0) : "memory");
  });
  EXPECT_EQ(seen.state.number, 5);
  EXPECT_EQ(seen.info.call, OpenCall::kUnknown);
}

TEST_F(IntentTest, A32BitProgramIsReadByItsOwnNumbers) {
  const std::string source = directory_.Write("opener.c", R"(
    static int call(int number, const char* path, int flags) {
      int result;
      __asm__ volatile("int $0x80" : "=a"(result)
                       : "a"(number), "b"(number == 295 ? -100 : (int)path),
                         "c"(number == 295 ? (int)path : flags), "d"(flags) : "memory");
      return result;
    }
    void start(int* stack) {
      char** arguments = (char**)(stack + 1);
      call(arguments[1][0] == 'a' ? 295 : 5, arguments[2], arguments[3][0] == 'w');
      __asm__ volatile("int $0x80" : : "a"(1), "b"(0));
    }
    __asm__(".globl _start\n_start: mov %esp, %eax\n push %eax\n call start\n");
  )");
  const std::string program = directory_.Path("opener");
  const std::string compile =
      "gcc -m32 -O1 -fno-pic -no-pie -static -nostdlib -fno-stack-protector -o " + program + " " +
      source;
  if (std::system((compile + " 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "no gcc -m32";
  for (const char* call : {"at", "old"}) {
    for (const char* mode : {"r", "w"}) {
      const Seen seen = Watch(
          [&] { ::execl(program.c_str(), program.c_str(), call, path_.c_str(), mode, nullptr); });
      EXPECT_EQ(seen.info.call, *call == 'a' ? OpenCall::kOpenat : OpenCall::kOpen);
      EXPECT_TRUE(seen.info.compat);
      EXPECT_EQ(seen.flags & O_ACCMODE, static_cast<uint64_t>(*mode == 'w' ? O_WRONLY : O_RDONLY));
    }
  }
}
#endif

TEST_F(IntentTest, Openat2OfOneThreadWithItsFlagsOnTheStack) {
  SKIP_UNDER_TSAN();  // a thread of its own
  for (const uint64_t flags : {uint64_t{O_RDONLY}, uint64_t{O_RDWR}}) {
    const Seen seen = Watch([&] {
      open_how how{};
      how.flags = flags;
      OpenAt2(&how);
    });
    EXPECT_EQ(seen.info.call, OpenCall::kOpenat2);
    ASSERT_TRUE(seen.how_read);
    EXPECT_EQ(seen.how.flags, flags);
  }
}

TEST_F(IntentTest, Openat2WithFlagsInSharedMemoryIsNotRead) {
  const Seen seen = Watch([&] {
    void* shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto* how = new (shared) open_how{};
    OpenAt2(how);
  });
  EXPECT_EQ(seen.info.call, OpenCall::kOpenat2);
  EXPECT_FALSE(seen.how_read);
}

TEST_F(IntentTest, Openat2OfAProcessWithThreadsIsNotRead) {
  SKIP_UNDER_TSAN();
  const Seen seen = Watch([&] {
    std::atomic<bool> running{false};
    std::thread other([&] {
      running = true;
      running.notify_one();
      ::pause();
    });
    running.wait(false);
    open_how how{};
    OpenAt2(&how);
    ::_exit(0);
  });
  EXPECT_EQ(seen.info.call, OpenCall::kOpenat2);
  EXPECT_FALSE(seen.how_read);
}

TEST_F(IntentTest, Exec) {
  const std::string script = directory_.Write("script", "#!/bin/true\n");
  ASSERT_TRUE(group_->MarkFile(AT_FDCWD, script.c_str(), FAN_OPEN_PERM).ok());
  const Seen seen = Watch([&] { ::execl(script.c_str(), "script", nullptr); });
  EXPECT_EQ(seen.info.call, OpenCall::kExecve);
}

// A cgroup hierarchy of our own has the kernel start a program when a group in it becomes empty.
TEST_F(IntentTest, AHelperThatTheKernelStartsIsAnExec) {
  const std::string root = directory_.Path("cgroup");
  std::filesystem::create_directory(root);
  if (::mount("fileward-test", root.c_str(), "cgroup", 0, "none,name=fileward-test") != 0) {
    GTEST_SKIP() << "no cgroup v1 here to make the kernel start a helper";
  }
  const std::string helper = directory_.Path("helper");
  std::filesystem::copy_file("/bin/true", helper);
  ASSERT_TRUE(group_->MarkFile(AT_FDCWD, helper.c_str(), FAN_OPEN_PERM).ok());
  const auto write = [&](const std::string& name, const std::string& text) {
    const UniqueFd file(::open((root + name).c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  };
  write("/release_agent", helper);
  std::filesystem::create_directory(root + "/group");
  write("/group/notify_on_release", "1");
  Child member([] { return ::pause(); });
  write("/group/cgroup.procs", std::to_string(member.pid()));
  write("/cgroup.procs", std::to_string(member.pid()));
  EXPECT_TRUE(AwaitReadable(group_->fd()));
  std::vector<PermissionEvent> events;
  ASSERT_TRUE(group_->Read(events, 1).ok());
  ASSERT_EQ(events.size(), 1u);
  SyscallState state;
  EXPECT_TRUE(Eventually([&] {
    state = SyscallOf(events[0].tid);
    return state.kind != SyscallState::Kind::kRunning;
  }));
  EXPECT_EQ(ClassifyOpenCall(state.number, events[0].tid).call, OpenCall::kExecve);
  EXPECT_FALSE(StatusOf(events[0].tid)->has_memory);
  group_->Answer(std::array{Response{events[0].raw_fd, true}});
  ::rmdir((root + "/group").c_str());
  ::umount2(root.c_str(), MNT_DETACH);
}

TEST(SyscallOf, TellsRunningFromBlockedFromGone) {
  Child spinning([] {
    while (true) {
      asm volatile("");
    }
    return 0;
  });
  EXPECT_EQ(SyscallOf(spinning.pid()).kind, SyscallState::Kind::kRunning);
  Child sleeping(
      [] { return static_cast<int>(::syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr)); });
  EXPECT_TRUE(Eventually([&] {
    const SyscallState state = SyscallOf(sleeping.pid());
    return state.kind == SyscallState::Kind::kBlocked && state.number == SYS_ppoll;
  }));
  EXPECT_EQ(SyscallOf(0x3fffffff).kind, SyscallState::Kind::kGone);
}

}  // namespace
}  // namespace fileward
