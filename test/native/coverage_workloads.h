// Containers beside the host for the tests of coverage: each with an overlay, a mount namespace and
// a cgroup of its own, on the fixture's tmpfs.
#ifndef FILEWARD_TEST_NATIVE_COVERAGE_WORKLOADS_H_
#define FILEWARD_TEST_NATIVE_COVERAGE_WORKLOADS_H_

#include <sys/prctl.h>

#include <algorithm>
#include <sstream>

#include "test/native/coverage_fixture.h"
#include "test/native/decision_container.h"

namespace fileward {

inline uint64_t StartTicksOf(int32_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;
  return std::stoull(field);
}

class CoverageWorkloads : public CoverageFixture {
 protected:
  // Of container `id`, which has nothing but what DecisionContainer makes.
  std::unique_ptr<DecisionContainer> Container(
      WorkloadId id, std::vector<std::pair<std::string, std::string>> volumes = {},
      bool chroot_only = false) const {
    const std::string base = root_ + "/container-" + std::to_string(id);
    return std::make_unique<DecisionContainer>(
        DecisionContainer::Options{id, base, std::move(volumes), chroot_only});
  }
  static WorkloadSpec Spec(const DecisionContainer& container, std::vector<std::string> groups) {
    return {container.id(), container.init(), StartTicksOf(container.init()), container.cgroup(),
            std::move(groups)};
  }

  // Group g0 is the host's, with a rule on dir_; g1 and g2 are containers' with a rule each.
  static TestRule BlockRule(const std::string& path, const std::string& mode = "protect") {
    TestRule rule;
    rule.path = {path};
    rule.mode = mode;
    return rule;
  }
  TestRuleset Groups(std::vector<TestRule> first, std::vector<TestRule> second = {}) const {
    TestRuleset ruleset = Rules({Rule("watch", "monitor", {"write"})});
    ruleset.groups.push_back({std::move(first), false});
    ruleset.groups.push_back({std::move(second), false});
    return ruleset;
  }

  CoverageReport SetWorkloads(std::vector<WorkloadSpec> workloads) {
    const uint64_t serial = ++serial_;
    coverage_->SetWorkloads(serial, std::move(workloads));
    return AwaitReport(
        [&](const CoverageReport& report) { return report.workloads_serial >= serial; });
  }
  static const WorkloadReport& Of(const CoverageReport& report, WorkloadId id) {
    const auto found =
        std::find_if(report.workloads.begin(), report.workloads.end(),
                     [&](const WorkloadReport& workload) { return workload.workload == id; });
    static const WorkloadReport none;
    EXPECT_NE(found, report.workloads.end()) << "no report of " << id;
    return found == report.workloads.end() ? none : *found;
  }

  // There is no other program than busybox.
  static constexpr const char* kApplets =
      "for a in cat ln mkdir mount mv rm sleep umount; do "
      "eval \"$a() { busybox $a \\\"\\$@\\\"; }\"; done; ";
  // Runs a shell command as a process of the container; its exit status.
  static int In(const DecisionContainer& container, const std::string& script) {
    const pid_t child = ::fork();
    if (child == 0) {
      container.Enter();
      const int null = ::open("/dev/null", O_RDWR);
      ::dup2(null, 1);
      ::dup2(null, 2);
      ::execl("/bin/busybox", "sh", "-c", (std::string(kApplets) + script).c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  SeenFact AwaitIn(WorkloadId id, Change change, const std::string& path) {
    return Await("change " + std::to_string(static_cast<int>(change)) + " of " + path + " in " +
                     std::to_string(id),
                 [&](const SeenFact& fact) {
                   return fact.header.kind == EventKind::kChange && fact.header.change == change &&
                          fact.path() == path && fact.header.workload == id;
                 });
  }

  // Marks that the kernel has in our groups.
  static size_t KernelMarks() {
    size_t marks = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);)
        marks += line.starts_with("fanotify ino:") ? 1U : 0U;
    }
    return marks;
  }
  static size_t OpenFds() {
    const std::filesystem::directory_iterator fds("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(fds), end(fds)));
  }
  static bool Eventually(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  uint64_t serial_ = 0;
};

}  // namespace fileward

#endif  // FILEWARD_TEST_NATIVE_COVERAGE_WORKLOADS_H_
