// Mounts of a container that never answer: a FUSE without a server.
#include <sys/stat.h>

#include "test/native/coverage_workloads.h"

namespace fileward {
namespace {

// Mounts over each place, by a process of the container that holds the device until it is killed:
// then every request fails.
class Silence {
 public:
  Silence(const DecisionContainer& container, const std::vector<std::string>& places) {
    int told[2];
    EXPECT_EQ(::pipe2(told, O_CLOEXEC), 0);
    process_ = ::fork();
    if (process_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::vector<int> servers;
      for (size_t i = 0; i < places.size(); ++i) servers.push_back(::open("/dev/fuse", O_RDWR));
      container.Enter();
      bool mounted = true;
      for (size_t i = 0; i < places.size(); ++i) {
        struct stat place {};
        char options[100];
        mounted = mounted && ::stat(places[i].c_str(), &place) == 0;
        std::snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0",
                      servers[i], place.st_mode & S_IFMT);
        mounted = mounted && ::mount("x", places[i].c_str(), "fuse", 0, options) == 0;
      }
      const char is = mounted ? 'm' : 'n';
      if (::write(told[1], &is, 1) == 1) ::pause();
      ::_exit(1);
    }
    ::close(told[1]);
    char is = 'n';
    EXPECT_EQ(::read(told[0], &is, 1), 1);
    ::close(told[0]);
    mounted_ = is == 'm';
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  bool mounted() const { return mounted_; }

 private:
  pid_t process_ = 0;
  bool mounted_ = false;
};

class CoverageSilent : public CoverageWorkloads {
 protected:
  static bool Told(const CoverageReport& report, WorkloadId id, const std::string& path) {
    const auto& degraded = Of(report, id).rules.at(0).degraded;
    return std::any_of(degraded.begin(), degraded.end(), [&](const auto& gap) {
      return gap.error_type == "filesystem_may_hang" && gap.detail.starts_with(path + ":");
    });
  }
};

TEST_F(CoverageSilent, WhatNeverAnswersIsLeftOut) {
  TestRuleset ruleset = Groups({BlockRule("/data/**")});
  ruleset.exes.push_back("/data/hang/app");
  ruleset.exes.push_back("/data/hang/*/app");
  Apply(ruleset);
  const auto container = Container(1);
  const auto other = Container(2);
  EXPECT_EQ(In(*container, "mkdir /data/hang; echo x > /data/file; echo x > /data/secret"), 0);
  const Silence silence(*container, {"/data/hang", "/data/file", "/etc/passwd"});
  if (!silence.mounted()) GTEST_SKIP() << "no FUSE here";
  const CoverageReport report = SetWorkloads({Spec(*container, {"g1"}), Spec(*other, {"g1"})});
  EXPECT_TRUE(Told(report, 1, "/data/hang"));
  EXPECT_TRUE(Told(report, 1, "/data/file"));
  EXPECT_EQ(In(*container, "cat /data/secret"), 1);
  EXPECT_EQ(In(*other, "echo x > /data/file; cat /data/file"), 1);
}

TEST_F(CoverageSilent, IsLeftOutWhenItIsMountedLater) {
  Apply(Groups({BlockRule("/data/**")}));
  const auto container = Container(1);
  EXPECT_EQ(In(*container, "mkdir -p /data/hang/deep; echo x > /data/hang/deep/secret"), 0);
  SetWorkloads({Spec(*container, {"g1"})});
  {
    const Silence silence(*container, {"/data/hang", "/etc", "/opt"});
    if (!silence.mounted()) GTEST_SKIP() << "no FUSE here";
    EXPECT_TRUE(Told(AwaitReport([&](const CoverageReport& report) {
                       return report.workloads.size() == 1 && Told(report, 1, "/data/hang");
                     }),
                     1, "/data/hang"));
    const auto other = Container(2);
    SetWorkloads({Spec(*container, {"g1"}), Spec(*other, {"g1"})});
    EXPECT_EQ(In(*other, "echo x > /data/file; cat /data/file"), 1);
  }
  EXPECT_EQ(In(*container, "umount /data/hang"), 0);
  EXPECT_TRUE(Eventually([&] { return In(*container, "cat /data/hang/deep/secret") == 1; }));
}

TEST_F(CoverageSilent, LinksAndAppsLeadAcrossMountsAsEver) {
  TestRuleset ruleset = Groups({BlockRule("/conf/**", "monitor")});
  ruleset.exes = {"/usr/bin/none", "/data/bin/tool"};
  ruleset.groups[1].rules[0].apps = {ListedApp(1)};
  Apply(ruleset);
  const auto container = Container(1);
  ASSERT_EQ(In(*container,
               "mount -t tmpfs tmpfs /data; mkdir -p /data/bin /data/conf /opt/more; "
               "mount -t tmpfs tmpfs /opt/more; ln -s ../../opt/more/tool /data/bin/tool; "
               "ln -s /bin/busybox /opt/more/tool; ln -s /data/conf /conf; echo x > /conf/file"),
            0);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container, "ln /data/conf/file /data/conf/link"), 0);
  EXPECT_TRUE(AwaitIn(1, Change::kLinked, "/data/conf/file").Has(EventFlag::kListed));
}

}  // namespace
}  // namespace fileward
