// The decision thread against the real kernel: what an opener gets, and what is said about it.
#include "native/decision/decision_thread.h"

#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstdlib>

#include "native/base/failure.h"
#include "test/native/decision_fixture.h"

namespace fileward {
namespace {

// The test program as a helper of its own: openat2 in a process that was exec'ed, with or without a
// second thread.
const bool kIsHelper = [] {
  const char* const job = ::getenv("FILEWARD_TEST_OPENAT2");
  if (job == nullptr) return false;
  const char* const path = ::getenv("FILEWARD_TEST_PATH");
  std::thread other;
  if (std::strstr(job, "thread") != nullptr) {
    other = std::thread([] { ::pause(); });
    other.detach();
  }
  open_how how{};
  how.flags = std::strstr(job, "write") != nullptr ? O_WRONLY : O_RDONLY;
  const long fd = ::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
  ::_exit(fd >= 0 ? 0 : errno);
}();

class DecisionThreadTest : public DecisionFixture {
 protected:
  TestRule Rule(const std::string& mode = "protect") {
    TestRule rule;
    rule.path = {dir_ + "/*"};
    rule.except = {dir_ + "/free*"};
    rule.mode = mode;
    return rule;
  }
  TestRule WriteOnly() {
    TestRule rule = Rule();
    rule.operations = {"write"};
    return rule;
  }
  int OpenAt2(const std::string& job, const std::string& path) {
    return InChild([&] {
      ::setenv("FILEWARD_TEST_OPENAT2", job.c_str(), 1);
      ::setenv("FILEWARD_TEST_PATH", path.c_str(), 1);
      return Exec({"/proc/self/exe"});
    });
  }
  const std::string self_ = std::filesystem::read_symlink("/proc/self/exe");
};

TEST_F(DecisionThreadTest, ListedReadsInQuietUnlistedIsDeniedAndToldOf) {
  const std::string path = MakeFile("secret");
  TestRule rule = Rule();
  rule.apps = {ListedApp()};
  TestRuleset text = OneGroup({rule});
  text.exes = {self_};
  Apply(text);
  EXPECT_EQ(OpenInChild(path, O_RDONLY), 0);
  EXPECT_EQ(OpenInChild(path, O_RDWR), 0);
  EXPECT_EQ(decisions_->counters()->quiet(0, Operation::kRead), 1U);
  EXPECT_EQ(decisions_->counters()->quiet(0, Operation::kWrite), 1U);

  EXPECT_NE(Run({"/bin/cat", path}), 0);
  const auto events = Events(1);
  ASSERT_EQ(events.size(), 1U);
  const EventHeader& header = events[0].header;
  EXPECT_EQ(header.kind, EventKind::kOpen);
  EXPECT_EQ(header.outcome, Outcome::kDenied);
  EXPECT_EQ(header.verdict, Verdict::kDeny);
  EXPECT_EQ(header.mode, Mode::kProtect);
  EXPECT_EQ(header.reason, Reason::kAppNotListed);
  EXPECT_EQ(header.operation, Operation::kRead);
  EXPECT_EQ(header.rule_index, 0U);
  EXPECT_EQ(header.ruleset_version, version_);
  EXPECT_EQ(header.ino, IdentityOf(path).ino);
  EXPECT_EQ(header.size, 7U);
  EXPECT_EQ(header.ppid, ::getpid());
  EXPECT_GT(header.verdict_duration_ns, 0U);
  auto strings = events[0].strings;
  EXPECT_EQ(strings[EventString::kPath], path);
  EXPECT_EQ(strings[EventString::kProtectedPath], "");
  EXPECT_EQ(strings[EventString::kExe], std::filesystem::canonical("/bin/cat").string());
  EXPECT_EQ(strings[EventString::kAncestors].substr(0, self_.size()), self_);
}

TEST_F(DecisionThreadTest, MonitorAndDiscoverAllowAndTell) {
  const std::string path = MakeFile("secret");
  Apply(OneGroup({Rule("monitor")}));
  EXPECT_EQ(OpenInChild(path, O_RDONLY), 0);
  EXPECT_EQ(Events(1).at(0).header.outcome, Outcome::kViolated);
  Apply(OneGroup({Rule("discover")}));
  EXPECT_EQ(OpenInChild(path, O_WRONLY), 0);
  const auto events = Events(1);
  EXPECT_EQ(events.at(0).header.outcome, Outcome::kLearned);
  EXPECT_EQ(events.at(0).header.operation, Operation::kWrite);
  EXPECT_EQ(events.at(0).header.verdict, Verdict::kAllow);
}

TEST_F(DecisionThreadTest, AWriteRuleLeavesReadersAndRunnersAlone) {
  const std::string path = MakeFile("tool");
  std::filesystem::copy_file("/bin/true", path, std::filesystem::copy_options::overwrite_existing);
  ::chmod(path.c_str(), 0755);
  Apply(OneGroup({WriteOnly()}));
  EXPECT_EQ(OpenInChild(path, O_RDONLY), 0);
  EXPECT_EQ(Run({path}), 0);
  EXPECT_EQ(OpenAt2("read", path), 0);
  EXPECT_EQ(Events(0).size(), 0U);
  EXPECT_EQ(OpenInChild(path, O_WRONLY), EPERM);
  EXPECT_EQ(OpenInChild(path, O_RDWR), EPERM);
  EXPECT_EQ(OpenInChild(path, O_RDONLY | O_TRUNC), EPERM);
  EXPECT_EQ(OpenInChild(path, O_WRONLY | O_APPEND), EPERM);
  EXPECT_EQ(InChild([&] { return ::creat(path.c_str(), 0644) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(InChild([&] { return ::syscall(SYS_open, path.c_str(), O_WRONLY) < 0 ? errno : 0; }),
            EPERM);
  EXPECT_EQ(OpenAt2("write", path), EPERM);
  for (const SeenEvent& event : Events(7)) {
    EXPECT_EQ(event.header.operation, Operation::kWrite);
    EXPECT_EQ(event.header.reason, Reason::kAppNotListed);
  }
  EXPECT_EQ(std::filesystem::file_size(path), std::filesystem::file_size("/bin/true"));
}

TEST_F(DecisionThreadTest, Openat2ThatAnotherThreadCouldChangeCountsAsAWrite) {
  const std::string path = MakeFile("secret");
  Apply(OneGroup({WriteOnly()}));
  EXPECT_EQ(OpenAt2("read thread", path), EPERM);
  const auto events = Events(1);
  EXPECT_EQ(events.at(0).header.operation, Operation::kWrite);
  EXPECT_EQ(events.at(0).header.reason, Reason::kIntentUnproven);
}

// Opens `path` for reading through io_uring; errno of the open, or of the set-up plus 1000.
int OpenByIoUring(const std::string& path) {
  io_uring_params params{};
  const int ring = static_cast<int>(::syscall(SYS_io_uring_setup, 1, &params));
  if (ring < 0) return 1000 + errno;
  const auto map = [&](size_t size, off_t offset) {
    return static_cast<std::byte*>(
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, offset));
  };
  std::byte* const submissions = map(params.sq_off.array + sizeof(uint32_t), IORING_OFF_SQ_RING);
  std::byte* const completions =
      map(params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
  auto* const entry = reinterpret_cast<io_uring_sqe*>(map(sizeof(io_uring_sqe), IORING_OFF_SQES));
  entry->opcode = IORING_OP_OPENAT;
  entry->fd = AT_FDCWD;
  entry->addr = reinterpret_cast<uint64_t>(path.c_str());
  entry->open_flags = O_RDONLY;
  *reinterpret_cast<uint32_t*>(submissions + params.sq_off.array) = 0;
  *reinterpret_cast<uint32_t*>(submissions + params.sq_off.tail) += 1;
  if (::syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0) {
    return 1000 + errno;
  }
  const int result = reinterpret_cast<io_uring_cqe*>(completions + params.cq_off.cqes)->res;
  return result < 0 ? -result : 0;
}

TEST_F(DecisionThreadTest, AnOpenByIoUringCountsAsAWrite) {
  const std::string path = MakeFile("secret");
  TestRule listed = WriteOnly();
  listed.apps = {ListedApp()};
  TestRuleset text = OneGroup({listed});
  text.exes = {self_};
  Apply(text);
  const int opened = InChild([&] { return OpenByIoUring(path) & 0xff; });
  if (opened != 0) GTEST_SKIP() << "no io_uring here: " << opened;
  Apply(OneGroup({WriteOnly()}));
  EXPECT_EQ(InChild([&] { return OpenByIoUring(path); }), EPERM);
  const auto events = Events(1);
  EXPECT_EQ(events.at(0).header.operation, Operation::kWrite);
  EXPECT_EQ(events.at(0).header.reason, Reason::kIntentUnproven);
}

TEST_F(DecisionThreadTest, AnExecIsJudgedAsExecOnce) {
  const std::string path = MakeFile("tool");
  std::filesystem::copy_file("/bin/true", path, std::filesystem::copy_options::overwrite_existing);
  ::chmod(path.c_str(), 0755);
  TestRule rule = Rule();
  rule.operations = {"exec"};
  for (const uint64_t mask : {uint64_t{FAN_OPEN_PERM}, uint64_t{FAN_OPEN_EXEC_PERM}}) {
    MarkDir(mask);
    rule.mode = "protect";
    Apply(OneGroup({rule}));
    EXPECT_EQ(Run({path}), EPERM);
    EXPECT_EQ(Events(1).at(0).header.operation, Operation::kExec);
    EXPECT_EQ(OpenInChild(path, O_RDWR), 0);
    rule.mode = "monitor";
    Apply(OneGroup({rule}));
    EXPECT_EQ(Run({path}), 0);
    EXPECT_EQ(Events(1).at(0).header.outcome, Outcome::kViolated);
  }
}

TEST_F(DecisionThreadTest, ThirtyTwoBitCallersAreTold) {
  const std::string source = root_ + "/open32.c";
  std::ofstream(source)
      << "#include <fcntl.h>\n#include <errno.h>\n#include <stdlib.h>\n"
         "int main(int c, char** v) { return open(v[1], atoi(v[2])) < 0 ? errno : 0; }\n";
  const std::string program = root_ + "/open32";
  const std::string compile = "gcc -m32 -static -o " + program + " " + source + " 2>/dev/null";
  if (std::system(compile.c_str()) != 0) GTEST_SKIP() << "no gcc -m32 here";
  const std::string path = MakeFile("secret");
  Apply(OneGroup({WriteOnly()}));
  EXPECT_EQ(Run({program, path, std::to_string(O_RDONLY)}), 0);
  EXPECT_EQ(Run({program, path, std::to_string(O_WRONLY)}), EPERM);
  EXPECT_EQ(Events(1).at(0).header.reason, Reason::kAppNotListed);
}

TEST_F(DecisionThreadTest, AFileThatIsNotInTheTableYetIsFoundByPath) {
  Apply(OneGroup({Rule()}));
  const std::string path = dir_ + "/new";
  EXPECT_EQ(OpenInChild(path, O_WRONLY | O_CREAT), EPERM);
  const auto events = Events(1);
  EXPECT_TRUE(events.at(0).header.flags & EventFlag::kCreatFresh);
  EXPECT_EQ(events.at(0).strings.at(EventString::kPath), path);
  std::optional<JudgedOpen> judged = decisions_->judged_opens().TryPop();
  ASSERT_TRUE(judged);
  EXPECT_EQ(judged->identity, IdentityOf(path));
  EXPECT_EQ(judged->outcome, Outcome::kDenied);
  EXPECT_TRUE(judged->creat_fresh);
}

TEST_F(DecisionThreadTest, AllowedWritesAreToldToCoverageBeforeTheyHappen) {
  const std::string path = MakeFile("secret");
  TestRule rule = Rule();
  rule.apps = {ListedApp()};
  TestRuleset text = OneGroup({rule});
  text.exes = {self_};
  Apply(text);
  EXPECT_EQ(OpenInChild(path, O_RDONLY), 0);
  EXPECT_FALSE(decisions_->judged_opens().TryPop());
  EXPECT_EQ(OpenInChild(path, O_WRONLY), 0);
  const auto judged = decisions_->judged_opens().TryPop();
  ASSERT_TRUE(judged);
  EXPECT_TRUE(judged->listed);
  EXPECT_EQ(judged->outcome, Outcome::kQuiet);
  EXPECT_EQ(judged->exe, IdentityOf(self_));
}

TEST_F(DecisionThreadTest, OtherNamesOfAProtectedFileDontHelp) {
  const std::string path = MakeFile("secret");
  const std::string bind = root_ + "/bind";
  ASSERT_EQ(::mkdir(bind.c_str(), 0755), 0);
  ASSERT_EQ(::mount(dir_.c_str(), bind.c_str(), nullptr, MS_BIND, nullptr), 0);
  // Known by identity, and found again from a mount of ours when not.
  for (const bool with_table : {true, false}) {
    Apply(OneGroup({Rule()}), with_table);
    EXPECT_EQ(OpenInChild(bind + "/secret", O_RDONLY), EPERM);
    const auto events = Events(1);
    EXPECT_EQ(events.at(0).strings.at(EventString::kPath), bind + "/secret");
    EXPECT_EQ(events.at(0).strings.at(EventString::kProtectedPath), path);
  }
  ::umount2(bind.c_str(), MNT_DETACH);

  const std::string link = dir_ + "/free-link";
  ASSERT_EQ(::link(path.c_str(), link.c_str()), 0);
  Apply(OneGroup({Rule()}));
  EXPECT_EQ(OpenInChild(link, O_RDONLY), EPERM);
  EXPECT_EQ(Events(1).at(0).strings.at(EventString::kPath), link);
  EXPECT_EQ(InChild([&] {
              const int fd = ::open(path.c_str(), O_PATH);
              return Open("/proc/self/fd/" + std::to_string(fd), O_RDONLY);
            }),
            EPERM);
}

TEST_F(DecisionThreadTest, AnUncoveredSiblingAsksOnce) {
  const std::string path = MakeFile("free-sibling");
  Apply(OneGroup({Rule()}));
  // One that has just been made may be about to take a covered name.
  EXPECT_EQ(OpenInChild(path, O_RDWR), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  EXPECT_EQ(OpenInChild(path, O_RDWR), 0);
  const uint64_t answers = Answers();
  EXPECT_EQ(answers, 2U);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(OpenInChild(path, O_RDWR), 0);
  EXPECT_EQ(Answers(), answers);
  // It becomes covered: coverage says so.
  auto rules = std::make_shared<const MatchSet>(MatchSet{0});
  const std::string covered = dir_ + "/covered";
  ASSERT_EQ(::rename(path.c_str(), covered.c_str()), 0);
  decisions_->updates().Send(
      AddName{kHostWorkload, IdentityOf(covered), 0, {covered, rules, false}});
  decisions_->updates().Send(Unignore{UniqueFd(::open(covered.c_str(), O_PATH | O_CLOEXEC))});
  Apply(OneGroup({Rule()}));
  EXPECT_EQ(OpenInChild(covered, O_RDONLY), EPERM);
}

TEST_F(DecisionThreadTest, OnlyTheOwnProcessIsAlwaysLetThrough) {
  const std::string path = MakeFile("secret");
  Apply(OneGroup({Rule()}));
  EXPECT_EQ(Open(path, O_RDWR), 0);
  std::thread([&] { EXPECT_EQ(Open(path, O_RDONLY), 0); }).join();
  EXPECT_EQ(Events(0).size(), 0U);
  EXPECT_EQ(OpenInChild(path, O_RDONLY), EPERM);
}

TEST_F(DecisionThreadTest, AListedPathTextWithAnotherIdentityIsAMismatch) {
  const std::string path = MakeFile("secret");
  const std::string app = root_ + "/app";
  std::filesystem::copy_file("/bin/cat", app);
  TestRule rule = Rule();
  rule.apps = {ListedApp()};
  TestRuleset text = OneGroup({rule});
  text.exes = {app};
  Apply(text);
  EXPECT_EQ(Run({app, path}), 0);
  // Another file of the same name.
  ASSERT_EQ(::rename(app.c_str(), (app + ".old").c_str()), 0);
  std::filesystem::copy_file("/bin/cat", app);
  EXPECT_NE(Run({app, path}), 0);
  EXPECT_EQ(Events(1).at(0).header.reason, Reason::kIdentityMismatch);
  EXPECT_EQ(Run({app + ".old", path}), 0);
}

TEST_F(DecisionThreadTest, AncestorsCountByWhatTheyRanWhenTheyForked) {
  const std::string path = MakeFile("secret");
  const std::string listed = root_ + "/listed-sh";
  std::filesystem::copy_file(std::filesystem::canonical("/bin/sh"), listed);
  TestRule rule = Rule();
  rule.apps = {ListedApp(0)};
  rule.apps[0].more += ",\"ancestor\":1";
  TestRuleset text = OneGroup({rule});
  text.exes = {std::filesystem::canonical("/bin/cat"), listed};
  Apply(text);
  EXPECT_EQ(Run({listed, "-c", "/bin/cat " + path + "; exit $?"}), 0);
  EXPECT_EQ(Events(0).size(), 0U);
  // Its parent becomes the listed program after the fork: that lends it nothing.
  EXPECT_NE(Run({"/bin/sh", "-c",
                 "(sleep 0.2; /bin/cat " + path + " && touch " + root_ + "/got) & exec " + listed +
                     " -c 'wait; sleep 0.6; exit 1'"}),
            0);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/got"));
  const auto events = Events(1);
  EXPECT_EQ(events.at(0).header.outcome, Outcome::kDenied);
}

TEST_F(DecisionThreadTest, AScriptIsListedByItsFileNotByItsInterpreter) {
  const std::string path = MakeFile("secret", "a line\n");
  const std::string script = root_ + "/script";
  std::ofstream(script) << "#!/bin/sh\nread x < \"$1\"\n";
  ::chmod(script.c_str(), 0755);
  const auto marked = group_->MarkFile(AT_FDCWD, script.c_str(), FAN_OPEN_EXEC_PERM);
  ASSERT_TRUE(marked.ok()) << marked.error().Message();
  TestRule rule = Rule();
  rule.apps = {ListedApp(0)};
  rule.apps[0].more += ",\"script\":1";
  TestRuleset text = OneGroup({rule});
  text.exes = {std::filesystem::canonical("/bin/sh"), script};
  Apply(text);
  EXPECT_EQ(Run({script, path}), 0);
  EXPECT_EQ(Events(0).size(), 0U);
  EXPECT_NE(Run({"/bin/sh", "-c", "read x < " + path}), 0);
  EXPECT_NE(Run({"/bin/sh", script, path}), 0);
  EXPECT_EQ(Events(2).at(0).header.reason, Reason::kAppNotListed);
}

TEST_F(DecisionThreadTest, ManyReadersUnderAWriteRuleAreNeverDenied) {
  const std::string path = MakeFile("tool");
  Apply(OneGroup({WriteOnly()}));
  const uint64_t deadlines = FailureCount(Failure::kDeadline);
  const char* const wanted = ::getenv("FILEWARD_TEST_OPENS");
  const int opens = wanted == nullptr ? 20'000 : std::atoi(wanted);
  constexpr int kReaders = 64;
  std::vector<pid_t> hogs;
  for (int i = 0; i < 4; ++i) {
    hogs.push_back(::fork());
    if (hogs.back() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(group_->fd());
      for (std::atomic<unsigned> spin = 0;;) spin.fetch_add(1, std::memory_order_relaxed);
    }
  }
  std::vector<pid_t> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.push_back(::fork());
    if (readers.back() != 0) continue;
    ::close(group_->fd());
    for (int n = 0; n < opens / kReaders; ++n) {
      const int fd = ::open(path.c_str(), O_RDONLY);
      if (fd < 0) ::_exit(errno);
      ::close(fd);
    }
    ::_exit(0);
  }
  for (const pid_t reader : readers) EXPECT_EQ(ExitOf(reader), 0);
  for (const pid_t hog : hogs) {
    ::kill(hog, SIGKILL);
    ExitOf(hog);
  }
  EXPECT_EQ(FailureCount(Failure::kDeadline), deadlines);
  EXPECT_EQ(Events(0).size(), 0U);
}

TEST_F(DecisionThreadTest, ReloadsNeverGiveAWrongVerdict) {
  const std::string path = MakeFile("secret");
  Apply(OneGroup({Rule()}));
  std::vector<pid_t> openers;
  for (int i = 0; i < 4; ++i) {
    openers.push_back(::fork());
    if (openers.back() != 0) continue;
    ::close(group_->fd());
    for (int n = 0; n < 2000; ++n) {
      if (Open(path, n % 2 == 0 ? O_RDONLY : O_WRONLY) != EPERM) ::_exit(1);
    }
    ::_exit(0);
  }
  TestRule other = Rule();
  other.path.push_back("/elsewhere/**");
  for (int i = 0; i < 200; ++i) Apply(OneGroup({i % 2 == 0 ? other : Rule()}));
  for (const pid_t opener : openers) EXPECT_EQ(ExitOf(opener), 0);
}

TEST_F(DecisionThreadTest, StopAnswersAndClosingReleases) {
  const std::string path = MakeFile("secret");
  Apply(OneGroup({Rule()}));
  EXPECT_EQ(OpenInChild(path, O_RDONLY), EPERM);
  decisions_->Stop();
  EXPECT_FALSE(decisions_->updates().Send(AppsChanged{}));
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    group_.reset();
    closed = true;
  });
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(group_->fd());
    ::_exit(Open(path, O_RDONLY));
  }
  EXPECT_EQ(ExitOf(child), 0);
  closer.join();
}

}  // namespace
}  // namespace fileward
