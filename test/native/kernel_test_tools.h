#ifndef FILEWARD_TEST_NATIVE_KERNEL_TEST_TOOLS_H_
#define FILEWARD_TEST_NATIVE_KERNEL_TEST_TOOLS_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "native/base/unique_fd.h"

namespace fileward::testing {

// A directory of our own under /tmp, gone at the end.
class TempDirectory {
 public:
  TempDirectory() {
    std::string path = "/tmp/fileward-test-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    path_ = path;
  }
  ~TempDirectory() { std::filesystem::remove_all(path_); }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& text = "text\n") const {
    const UniqueFd file(::open(Path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755));
    if (!file || ::write(file.get(), text.data(), text.size()) < 0) std::abort();
    return Path(name);
  }

 private:
  std::string path_;
};

// A child process running `body`; its exit status is what body returns. Killed and reaped at the
// end.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : pid_(::fork()) {
    if (pid_ == 0) ::_exit(body());
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    Wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  // Exit status, or 128 + signal.
  int Wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

// 0 or errno.
inline int TryOpen(const std::string& path, int flags) {
  const UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC));
  return file ? 0 : errno;
}

// True when `fd` becomes readable within a generous time: for events that are certain to come.
inline bool AwaitReadable(int fd) {
  pollfd ready{fd, POLLIN, 0};
  return ::poll(&ready, 1, 10'000) > 0;
}

// Looks until `condition` holds; false when it doesn't within a generous time.
inline bool Eventually(const std::function<bool()>& condition) {
  for (int looks = 0; looks < 20'000; ++looks) {
    if (condition()) return true;
    ::usleep(1000);
  }
  return false;
}

// ThreadSanitizer does not support threads that a forked child starts, and has one in every
// process.
#if defined(__SANITIZE_THREAD__)
#define SKIP_UNDER_TSAN() GTEST_SKIP() << "not under ThreadSanitizer"
#else
#define SKIP_UNDER_TSAN() static_cast<void>(0)
#endif

#define SKIP_UNLESS_ROOT()                                           \
  if (::geteuid() != 0)                                              \
  GTEST_SKIP() << "needs root: fanotify permission groups and proc " \
                  "connector"

}  // namespace fileward::testing

#endif  // FILEWARD_TEST_NATIVE_KERNEL_TEST_TOOLS_H_
