// Whose process it is, with real containers of runc. They have all but their own /etc from the
// host, so that even the host's own binaries (runc's too) are programs of the container here, and
// no pid namespace, so that it may clone siblings of its init.
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fstream>
#include <sstream>

#include "native/base/clock.h"
#include "native/kernel/process_files.h"
#include "native/process/process_feed.h"
#include "native/process/process_snapshot.h"
#include "native/process/process_table.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::Child;
using testing::Eventually;
using testing::TempDirectory;
using FromOutside = ProcessTable::FromOutside;

constexpr WorkloadId kContainer = 7;

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string WithNumbers(std::string text) {
  const std::pair<const char*, long> numbers[] = {{"MEMFD_CREATE", SYS_memfd_create},
                                                  {"CLONE", SYS_clone},
                                                  {"PRCTL", SYS_prctl},
                                                  {"SIGCHLD", SIGCHLD}};
  for (const auto& [name, number] : numbers) {
    for (size_t at; (at = text.find(name)) != std::string::npos;) {
      text.replace(at, std::string(name).size(), std::to_string(number));
    }
  }
  return text;
}

// What the container's programs do; `reveal(NAME)` leaves the own pid as /out/NAME and stays.
constexpr const char* kHelpers = R"(
  sub reveal { leave(@_); sleep 1000 while 1; }
  sub memory { my $fd = syscall(MEMFD_CREATE, my $name = "copy", 0);
               open(my $to, ">&=", $fd); open(my $from, "<", shift); local $/; print {$to} <$from>;
               $to->flush(); exec { "/proc/self/fd/$fd" } @_; }
  sub twin { syscall(CLONE, 0x8000 | SIGCHLD, 0, 0, 0, 0) }  # CLONE_PARENT
  sub leave { open(my $f, ">", "/out/.$_[0]"); print {$f} $$; close $f;
              rename("/out/.$_[0]", "/out/$_[0]") }
  sub await { select(undef, undef, undef, 0.01) until -e "/out/$_[0]" }
  $^F = 100;
)";

class ProcessOriginTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    if (::access("/usr/bin/perl", X_OK) != 0) GTEST_SKIP() << "no perl";
    ASSERT_EQ(::mkdir(directory_.Path("state").c_str(), 0700), 0);
    if (Runc({"--version"}) != 0) GTEST_SKIP() << "no runc";
    auto feed = ProcessFeed::Start(table_);
    if (!feed) GTEST_SKIP() << "no process feed here: " << feed.error().Message();
    feed_ = *std::move(feed);
    for (const char* name : {"root", "root/usr", "root/etc", "root/proc", "root/out"}) {
      ASSERT_EQ(::mkdir(directory_.Path(name).c_str(), 0755), 0);
    }
    for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
      std::filesystem::create_symlink("usr/" + std::string(name), directory_.Path("root/") + name);
    }
    directory_.Write("root/etc/passwd", "root:x:0:0::/:/bin/sh\n");
    directory_.Write("root/helpers.pl", WithNumbers(kHelpers) + "1;");
  }

  void TearDown() override {
    if (init_ == 0) return;
    Runc({"kill", "--all", id_, "KILL"});
    // A cgroup that isn't empty yet stays behind.
    EXPECT_TRUE(Eventually([&] {
      const auto pids = ListProcesses();
      return std::none_of(pids.begin(), pids.end(),
                          [&](int32_t pid) { return CgroupOf(pid) == cgroup_; });
    }));
    EXPECT_EQ(Runc({"delete", "--force", id_}), 0);
  }

  // `runc` with these arguments, by way of another command that ends in it.
  int Runc(const std::vector<std::string>& arguments, std::vector<std::string> command = {}) {
    command.insert(command.end(), {"runc", "--root", directory_.Path("state")});
    command.insert(command.end(), arguments.begin(), arguments.end());
    Child child([&command] {
      std::vector<char*> argv;
      for (std::string& argument : command) argv.push_back(argument.data());
      argv.push_back(nullptr);
      // Its container's processes keep what they are given.
      const int null = ::open("/dev/null", O_RDWR);
      for (const int fd : {0, 1, 2}) ::dup2(null, fd);
      ::execvp(argv[0], argv.data());
      return 127;
    });
    return child.Wait();
  }

  // Creates the container: its init waits for Start() to execute this.
  void Create(const std::string& perl = "reveal('init')",
              const std::vector<std::string>& command = {}) {
    std::string args = "\"/usr/bin/perl\", \"/main.pl\"";
    directory_.Write("root/main.pl", "require '/helpers.pl'; " + WithNumbers(perl) + ";\n");
    directory_.Write("config.json", R"({"ociVersion": "1.0.2", "root": {"path": "root"},
      "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "noNewPrivileges": false,
        "env": ["PATH=/usr/bin"], "args": [)" +
                                        args + R"(]},
      "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}],
      "linux": {"cgroupsPath": "/)" + id_ +
                                        R"(", "namespaces": [{"type": "mount"}]}})");
    ASSERT_EQ(
        Runc({"create", "--bundle", directory_.path(), "--pid-file", directory_.Path("pid"), id_},
             command),
        0);
    init_ = std::stoi(ReadText(directory_.Path("pid")));
    cgroup_ = CgroupOf(init_);
    ASSERT_TRUE(cgroup_.ends_with(id_)) << cgroup_;
    table_.SetWorkloads(std::make_shared<WorkloadCgroups>(
        std::vector<WorkloadCgroups::Entry>{{kContainer, cgroup_, init_}}));
  }
  void Start() { ASSERT_EQ(Runc({"start", id_}), 0); }

  // The process that calls reveal(`name`).
  int32_t Told(const std::string& name) {
    const std::string path = directory_.Path("root/out/" + name);
    EXPECT_TRUE(Eventually([&] { return ::access(path.c_str(), F_OK) == 0; })) << name;
    return std::atoi(ReadText(path).c_str());
  }

  FromOutside Origin(int32_t pid) {
    const uint64_t now_ns = MonotonicNs();
    FromOutside origin = FromOutside::kUnsettled;
    EXPECT_TRUE(Eventually([&] {
      origin = table_.CameFromOutside(pid, kContainer, now_ns);
      return origin != FromOutside::kUnsettled;
    }));
    return origin;
  }

  // `runc exec`, caught where it looks for the user in the container and comes no further.
  std::unique_ptr<Child> StartExec(const std::vector<std::string>& command, int32_t* caught) {
    const std::string passwd = directory_.Path("root/etc/passwd");
    ::unlink(passwd.c_str());
    EXPECT_EQ(::mkfifo(passwd.c_str(), 0644), 0);
    std::vector<std::string> arguments = {"exec", id_};
    arguments.insert(arguments.end(), command.begin(), command.end());
    auto child = std::make_unique<Child>([this, arguments] { return Runc(arguments); });
    EXPECT_TRUE(Eventually([&] {
      for (const int32_t pid : ListProcesses()) {
        if (CgroupOf(pid) != cgroup_ || pid == init_) continue;
        for (const int32_t tid : ListThreads(pid)) {
          const SyscallState thread = SyscallOf(tid);
          if (thread.kind == SyscallState::Kind::kBlocked && thread.number == SYS_openat) {
            *caught = pid;
            return true;
          }
        }
      }
      return false;
    }));
    return child;
  }
  void LetGo() {
    const std::string passwd = directory_.Path("root/etc/passwd");
    const UniqueFd fifo(::open(passwd.c_str(), O_WRONLY | O_CLOEXEC));
    ::unlink(passwd.c_str());
    directory_.Write("root/etc/passwd", "root:x:0:0::/:/bin/sh\n");
    const std::string line = "root:x:0:0::/:/bin/sh\n";
    EXPECT_GT(::write(fifo.get(), line.data(), line.size()), 0);
  }

  TempDirectory directory_;
  const std::string id_ = "fw-origin-" + std::to_string(::getpid());
  ProcessTable table_;
  std::unique_ptr<ProcessFeed> feed_;
  int32_t init_ = 0;
  std::string cgroup_;
};

TEST_F(ProcessOriginTest, TheRuntimesInitIsFromOutsideUntilItExecutesTheProgram) {
  Create();
  EXPECT_EQ(table_.WorkloadOf(init_), kContainer);
  EXPECT_EQ(Origin(init_), FromOutside::kYes);
  // It runs itself from a mount that hangs nowhere.
  const ProcessSnapshot runtime = SnapshotOf(init_, table_);
  EXPECT_TRUE(runtime.exe_path.ends_with("/runc")) << runtime.exe_path;
  EXPECT_EQ(runtime.workload, kContainer);
  Start();
  EXPECT_EQ(Told("init"), init_);
  EXPECT_EQ(Origin(init_), FromOutside::kNo);
  EXPECT_EQ(table_.WorkloadOf(init_), kContainer);
  EXPECT_EQ(table_.WorkloadOf(::getpid()), kHostWorkload);
}

TEST_F(ProcessOriginTest, ARuntimesExecIsFromOutsideUntilItExecutesTheProgram) {
  Create();
  Start();
  Told("init");
  int32_t caught = 0;
  const auto exec =
      StartExec({"/usr/bin/perl", "-e", "require '/helpers.pl'; reveal('exec')"}, &caught);
  EXPECT_EQ(Origin(caught), FromOutside::kYes) << ExePath(caught);
  LetGo();
  const int32_t pid = Told("exec");
  EXPECT_EQ(Origin(pid), FromOutside::kNo);
}

TEST_F(ProcessOriginTest, NothingThatTheContainerStartsIsFromOutside) {
  Create(R"perl(
    unless (fork) { reveal('child') }
    unless (fork) { memory('/usr/bin/perl', 'perl', '-e', "require '/helpers.pl'; reveal('memory')") }
    unless (fork) { my $first = $$; unless (fork) { select(undef, undef, undef, 0.01) while getppid == $first;
                                                    reveal('orphan') } exit }
    unless (fork) { memory('/usr/bin/perl', 'perl', '-e', "require '/helpers.pl';
        unless (fork) { unless (fork) { reveal('orphan-of-memory') } exit } reveal('forking')") }
    unless (fork) { exec '/usr/bin/perl', '-e', "require '/helpers.pl'; twin() or reveal('twin');
        sleep 1000" }
    unless (fork) { exec '/copy', '-e', "require '/helpers.pl'; reveal('copy')" }
    reveal('init'))perl");
  std::filesystem::copy_file("/usr/bin/perl", directory_.Path("root/copy"));
  Start();
  for (const char* name :
       {"init", "child", "memory", "orphan", "forking", "orphan-of-memory", "twin", "copy"}) {
    const int32_t pid = Told(name);
    EXPECT_EQ(Origin(pid), FromOutside::kNo) << name;
    EXPECT_EQ(table_.WorkloadOf(pid), kContainer) << name;
  }
}

// Where a container may make cgroups itself, one of its own may look like another container.
TEST_F(ProcessOriginTest, AProgramOfAContainerInsideIsNotFromOutside) {
  Create(R"perl(
    leave('ready'); await('moved');
    memory('/usr/bin/perl', 'perl', '-e', "require '/helpers.pl'; leave('executed'); await('back');
        unless (fork) { reveal('child') } reveal('parent')"))perl");
  std::string hierarchy = "/sys/fs/cgroup/systemd";
  if (::access(hierarchy.c_str(), F_OK) != 0) hierarchy = "/sys/fs/cgroup";
  const std::string own = hierarchy + cgroup_;
  const std::string inner = own + "/inner";
  ASSERT_EQ(::mkdir(inner.c_str(), 0755), 0);
  table_.SetWorkloads(std::make_shared<WorkloadCgroups>(std::vector<WorkloadCgroups::Entry>{
      {kContainer, cgroup_, init_}, {kContainer + 1, cgroup_ + "/inner", init_}}));
  const auto move_to = [this](const std::string& cgroup) {
    std::ofstream(cgroup + "/cgroup.procs") << init_;
  };
  Start();
  Told("ready");
  move_to(inner);
  directory_.Write("root/out/moved");
  Told("executed");
  EXPECT_EQ(table_.WorkloadOf(init_), kContainer + 1);
  move_to(own);
  directory_.Write("root/out/back");
  const int32_t child = Told("child");
  EXPECT_EQ(table_.WorkloadOf(child), kContainer);
  EXPECT_EQ(Origin(child), FromOutside::kNo);
  EXPECT_EQ(Origin(Told("parent")), FromOutside::kNo);
  EXPECT_EQ(::rmdir(inner.c_str()), 0);
}

// A clone's parent is that of the process that cloned it: here one outside. `runc init` comes about
// in the same way.
TEST_F(ProcessOriginTest, ACloneWhoseParentIsOutsideIsNot) {
  Create(
      "memory('/usr/bin/perl', 'perl', '-e', \"require '/helpers.pl'; twin() or reveal('twin');"
      " reveal('init')\")");
  Start();
  EXPECT_EQ(Told("init"), init_);
  const int32_t twin = Told("twin");
  ASSERT_EQ(StatusOf(twin)->ppid, StatusOf(init_)->ppid);
  EXPECT_EQ(Origin(twin), FromOutside::kNo);
}

// As above, and the parent outside runs the same file: nothing the feed says is odd.
TEST_F(ProcessOriginTest, ACloneOfWhatItsParentOutsideRunsIsNot) {
  const std::string reaper = WithNumbers(R"perl(
    unless (fork) {
      syscall(PRCTL, 36, 1, 0, 0, 0);  # PR_SET_CHILD_SUBREAPER
      my $status = system(@ARGV);
      open(my $f, ">", "DONE"); print {$f} $status; close $f;
      sleep 1000;
    }
    select(undef, undef, undef, 0.01) until -s "DONE";
    exit(system("grep", "-qx", "0", "DONE") >> 8))perl");
  const auto done = [&](std::string text) {
    const std::string path = directory_.Path("done");
    for (size_t at; (at = text.find("DONE")) != std::string::npos;) text.replace(at, 4, path);
    return text;
  };
  Create("twin() or reveal('twin'); reveal('init')", {"/usr/bin/perl", "-e", done(reaper)});
  const int32_t outside = StatusOf(init_)->ppid;
  ASSERT_EQ(ExePath(outside), "/usr/bin/perl");
  Start();
  EXPECT_EQ(Told("init"), init_);
  const int32_t twin = Told("twin");
  ASSERT_EQ(StatusOf(twin)->ppid, outside);
  EXPECT_EQ(Origin(twin), FromOutside::kNo);
  ASSERT_TRUE(table_.Find(twin));
  EXPECT_TRUE(table_.Find(twin)->run_verified);
  ::kill(outside, SIGKILL);
}

TEST_F(ProcessOriginTest, WhatWasNotSeenIsNotTheRuntimes) {
  Create();
  ASSERT_EQ(Origin(init_), FromOutside::kYes);
  table_.Scan(true);  // as after a loss
  EXPECT_EQ(Origin(init_), FromOutside::kUnknown);
  ProcessTable later;
  later.SetWorkloads(table_.workloads());
  feed_.reset();
  feed_ = *ProcessFeed::Start(later);
  const uint64_t now_ns = MonotonicNs();
  ASSERT_TRUE(Eventually([&] { return later.CurrentAsOf(now_ns); }));
  EXPECT_NE(later.CameFromOutside(init_, kContainer, now_ns), FromOutside::kYes);
  feed_.reset();
  EXPECT_EQ(later.CameFromOutside(init_, kContainer, now_ns), FromOutside::kUnknown);
}

// A container may have waited until nobody knows any more who lived when it forked.
TEST_F(ProcessOriginTest, AfterAWhileItCannotBeToldAnyMore) {
  ProcessTable::Limits limits;
  limits.exited = 1;
  ProcessTable forgetful(limits);
  feed_ = *ProcessFeed::Start(forgetful);
  Create();
  forgetful.SetWorkloads(table_.workloads());
  for (int i = 0; i < 3; ++i) Child([] { return 0; }).Wait();
  const uint64_t now_ns = MonotonicNs();
  ASSERT_TRUE(Eventually([&] { return forgetful.CurrentAsOf(now_ns); }));
  EXPECT_EQ(forgetful.CameFromOutside(init_, kContainer, now_ns), FromOutside::kUnknown);
  feed_.reset();
}

}  // namespace
}  // namespace fileward
