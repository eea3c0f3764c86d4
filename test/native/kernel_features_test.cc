#include <grp.h>

#include <algorithm>
#include <set>

#include "native/kernel/features.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::Child;

KernelFeatures ProbeWithout(const char* names) {
  ::setenv("FILEWARD_WITHOUT", names, 1);
  KernelFeatures features = ProbeKernelFeatures();
  ::unsetenv("FILEWARD_WITHOUT");
  return features;
}

const FeatureLine& LineOf(const KernelFeatures& features, const std::string& name) {
  static const FeatureLine none;
  const auto found = std::find_if(features.lines.begin(), features.lines.end(),
                                  [&name](const FeatureLine& line) { return line.name == name; });
  return found == features.lines.end() ? none : *found;
}

TEST(KernelFeatures, AsRootThisKernelCanEnforceAndWatch) {
  SKIP_UNLESS_ROOT();
  const KernelFeatures features = ProbeKernelFeatures();
  EXPECT_TRUE(features.can_enforce()) << LineOf(features, "permission_events").detail;
  EXPECT_TRUE(features.can_watch());
  EXPECT_TRUE(features.missing_capabilities.empty());
  std::set<std::string> names;
  for (const FeatureLine& line : features.lines) {
    EXPECT_FALSE(line.detail.empty()) << line.name;
    EXPECT_TRUE(names.insert(line.name).second) << line.name << " twice";
  }
  EXPECT_TRUE(LineOf(features, "permission_events").available);
}

TEST(KernelFeatures, ProbingLeavesNothingBehind) {
  SKIP_UNLESS_ROOT();
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  const auto before = count();
  ProbeKernelFeatures();
  EXPECT_EQ(count(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
}

TEST(KernelFeatures, AMaskedRungTakesThoseThatStandOnItAlong) {
  SKIP_UNLESS_ROOT();
  const KernelFeatures features = ProbeWithout("pidfd,directory_names");
  EXPECT_FALSE(features.pidfd);
  EXPECT_FALSE(features.directory_names);
  EXPECT_FALSE(features.target_fid);
  EXPECT_FALSE(features.rename_event);
  EXPECT_TRUE(features.fid);
  EXPECT_TRUE(features.can_enforce());
  EXPECT_NE(LineOf(features, "pidfd").detail.find("FILEWARD_WITHOUT"), std::string::npos);
  EXPECT_FALSE(ProbeWithout("permission_events").can_enforce());
  EXPECT_FALSE(ProbeWithout("fid,inotify").can_watch());
}

TEST(KernelFeatures, AnOrdinaryUserIsToldWhichCapabilitiesAreMissing) {
  SKIP_UNLESS_ROOT();
  Child child([] {
    if (::setgroups(0, nullptr) != 0 || ::setresuid(65'534, 65'534, 65'534) != 0) return 10;
    const KernelFeatures features = ProbeKernelFeatures();
    if (features.can_enforce()) return 11;
    if (LineOf(features, "permission_events").detail.find("not permitted") == std::string::npos) {
      return 12;
    }
    const std::vector<std::string> all = {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_DAC_READ_SEARCH",
                                          "CAP_SYS_PTRACE"};
    return features.missing_capabilities == all ? 0 : 13;
  });
  EXPECT_EQ(child.Wait(), 0);
}

}  // namespace
}  // namespace fileward
