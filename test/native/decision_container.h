// A container as a runtime makes it, for the tests of native/decision: an overlay of its own as
// root (pivot_root), a mount namespace, a cgroup, volumes; its init only sleeps. Or one that is no
// more than a chroot and a cgroup.
#ifndef FILEWARD_TEST_NATIVE_DECISION_CONTAINER_H_
#define FILEWARD_TEST_NATIVE_DECISION_CONTAINER_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "native/base/workload.h"
#include "native/kernel/process_files.h"

namespace fileward {

class DecisionContainer {
 public:
  struct Options {
    WorkloadId id = 1;
    std::string base;  // a directory for its files, on no overlay
    std::vector<std::pair<std::string, std::string>> volumes;  // from, to (a directory in the root)
    bool chroot_only = false;
  };

  explicit DecisionContainer(Options options) : options_(std::move(options)) {
    const std::string& base = options_.base;
    for (const char* name : {"/lower", "/upper", "/work", "/root"}) {
      std::filesystem::create_directories(base + name);
    }
    const std::string files = base + (options_.chroot_only ? "/root" : "/lower");
    for (const char* name : {"/bin", "/etc", "/data", "/dev", "/opt", "/tmp"}) {
      std::filesystem::create_directories(files + name);
    }
    std::filesystem::copy_file("/bin/busybox", files + "/bin/busybox");
    std::filesystem::create_symlink("busybox", files + "/bin/sh");
    std::ofstream(files + "/etc/passwd") << "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n";
    std::ofstream(files + "/etc/secret") << "content";
    std::ofstream(files + "/dev/null");  // nothing more than a place for what is said
    if (!options_.chroot_only) {
      const std::string layers =
          "lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work";
      EXPECT_EQ(::mount("overlay", Root().c_str(), "overlay", 0, layers.c_str()), 0)
          << std::strerror(errno);
    }
    hierarchy_ = std::filesystem::exists("/sys/fs/cgroup/systemd") ? "/sys/fs/cgroup/systemd"
                                                                   : "/sys/fs/cgroup";
    // Named as runtimes do.
    char name[80];
    std::snprintf(name, sizeof(name), "/test-%032x%032x.scope", ::getpid(), id());
    cgroup_ = name;
    ::mkdir((hierarchy_ + cgroup_).c_str(), 0755);
    StartInit();
  }
  DecisionContainer(const DecisionContainer&) = delete;
  DecisionContainer& operator=(const DecisionContainer&) = delete;

  ~DecisionContainer() {
    Stop();
    if (!options_.chroot_only) ::umount2(Root().c_str(), MNT_DETACH);
    for (int i = 0; i < 1000 && ::rmdir((hierarchy_ + cgroup_).c_str()) != 0 && errno == EBUSY; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void Stop() {
    if (init_ <= 0) return;
    ::kill(init_, SIGKILL);
    ::waitpid(init_, nullptr, 0);
    init_ = 0;
  }

  WorkloadId id() const { return options_.id; }
  int32_t init() const { return init_; }
  bool chroot_only() const { return options_.chroot_only; }
  const std::string& cgroup() const { return cgroup_; }
  // On the host: the merged directory, or the directory of the chroot.
  std::string Root() const { return options_.base + "/root"; }
  // Through its own mounts.
  std::string Inside(const std::string& path) const {
    return "/proc/" + std::to_string(init_) + "/root" + path;
  }

  // The calling process becomes one of its: the cgroup (or one below it), and the root.
  void Enter(const std::string& below = "") const {
    if (!below.empty()) std::filesystem::create_directories(hierarchy_ + cgroup_ + below);
    std::ofstream(hierarchy_ + cgroup_ + below + "/cgroup.procs") << ::getpid();
    EnterRoot();
  }
  // Only its root: still a process of the host's.
  void EnterRoot() const {
    const std::string process = "/proc/" + std::to_string(init_);
    const int root = ::open((process + "/root").c_str(), O_PATH | O_CLOEXEC);
    const int mounts = ::open((process + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC);
    if (!options_.chroot_only && ::setns(mounts, CLONE_NEWNS) != 0) ::_exit(199);
    if (::fchdir(root) != 0 || ::chroot(".") != 0) ::_exit(198);
  }
  void RemoveCgroup(const std::string& below) const {
    ::rmdir((hierarchy_ + cgroup_ + below).c_str());
  }

 private:
  void StartInit() {
    int ready[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    init_ = ::fork();
    if (init_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::ofstream(hierarchy_ + cgroup_ + "/cgroup.procs") << ::getpid();
      const bool there = ChangeRoot();
      const bool told = ::write(ready[1], "r", 1) == 1;
      while (there && told) ::pause();
      ::_exit(1);
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    // It has its root, or it is a zombie.
    EXPECT_TRUE(std::filesystem::exists(Inside("/etc/secret")));
  }
  bool ChangeRoot() const {
    const std::string root = Root();
    if (options_.chroot_only) return ::chroot(root.c_str()) == 0 && ::chdir("/") == 0;
    if (::unshare(CLONE_NEWNS) != 0) return false;
    for (const auto& [from, to] : options_.volumes) {
      if (::mount(from.c_str(), (root + to).c_str(), nullptr, MS_BIND, nullptr) != 0) return false;
    }
    return ::chdir(root.c_str()) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 &&
           ::umount2(".", MNT_DETACH) == 0 && ::chdir("/") == 0;
  }

  const Options options_;
  std::string hierarchy_;
  std::string cgroup_;
  int32_t init_ = 0;
};

}  // namespace fileward

#endif  // FILEWARD_TEST_NATIVE_DECISION_CONTAINER_H_
