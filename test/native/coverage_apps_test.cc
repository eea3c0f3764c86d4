// Which file an app's path names, while it is replaced: seen by what a program
// may read.
#include <atomic>
#include <csignal>

#include "native/coverage/sha256.h"
#include "test/native/coverage_fixture.h"

namespace fileward {
namespace {

const std::vector<std::string> kAll = {"read", "write", "exec"};

class CoverageApps : public CoverageFixture {
 protected:
  void SetUp() override {
    CoverageFixture::SetUp();
    if (IsSkipped()) return;
    secret_ = Write(dir_ + "/secret");
    listed_ = root_ + "/bin/listed";
    std::filesystem::copy("/bin/cat", listed_);
  }

  bool ListedMayRead() const { return Run({listed_, secret_}) == 0; }
  // Puts another file in the place of the app, as an unlisted program does.
  void Replace() const {
    ASSERT_EQ(Shell("cp /bin/cat " + root_ + "/bin/next && mv " + root_ + "/bin/next " + listed_),
              0);
  }
  void AwaitReplaced(bool followed) {
    Await("app replaced", [&](const SeenFact &fact) {
      return fact.header.kind == EventKind::kAppReplaced &&
             fact.Has(EventFlag::kListed) == followed;
    });
  }
  // The first rule guards the secret, the second the app's own file.
  TestRule GuardOfApps() const {
    TestRule guard = Rule("block", "protect", {"write"});
    guard.name = "apps";
    guard.path = {root_ + "/bin/**"};
    guard.apps = {};
    return guard;
  }

  std::string secret_;
  std::string listed_;
};

TEST_F(CoverageApps, OnlyTheFileItselfIsListed) {
  std::filesystem::copy(listed_, root_ + "/bin/copy");
  Apply(Rules({Rule("block", "protect", kAll)}));
  EXPECT_TRUE(ListedMayRead());
  EXPECT_NE(Run({root_ + "/bin/copy", secret_}), 0);
}

TEST_F(CoverageApps, FoundThroughLinks) {
  ASSERT_EQ(Shell("cd " + root_ + "; mkdir usr; mv bin usr/bin; ln -s usr/bin bin"), 0);
  TestRuleset ruleset = Rules({Rule("block", "protect", kAll)});
  const CoverageReport report = Apply(ruleset);
  EXPECT_TRUE(report.rules[0].absent_apps.empty());
  EXPECT_EQ(Run({root_ + "/usr/bin/listed", secret_}), 0);
}

TEST_F(CoverageApps, GlobsNameEachFile) {
  TestRuleset ruleset = Rules({Rule("block", "protect", kAll)});
  ruleset.exes = {root_ + "/bin/tool-[0-9]"};
  Apply(ruleset);
  std::filesystem::copy("/bin/cat", root_ + "/bin/tool-7");
  std::filesystem::copy("/bin/cat", root_ + "/bin/tool-x");
  // Own changes are silent, but the app that appeared is named.
  AwaitReport([](const CoverageReport &now) { return now.rules[0].absent_apps.empty(); });
  EXPECT_EQ(Run({root_ + "/bin/tool-7", secret_}), 0);
  EXPECT_NE(Run({root_ + "/bin/tool-x", secret_}), 0);
}

TEST_F(CoverageApps, UnguardedReplacementIsFollowedAndTheOldStaysWhileItRuns) {
  ASSERT_EQ(Shell("cp /usr/bin/perl " + listed_), 0);
  Apply(Rules({Rule("block", "protect", kAll)}));
  // The old program, told by a fifo when to read.
  ASSERT_EQ(Shell("mkfifo " + root_ + "/out/go"), 0);
  std::atomic<int> old_result{-1};
  std::thread old_program([&] {
    old_result = Run({listed_, "-e",
                      "open(G, '<', '" + root_ + "/out/go'); <G>; exit(open(F, '<', '" + secret_ +
                          "') ? 0 : 1);"});
  });
  const int go = ::open((root_ + "/out/go").c_str(),
                        O_WRONLY | O_CLOEXEC);  // waits for the program
  Replace();
  AwaitReplaced(true);
  EXPECT_TRUE(ListedMayRead());
  const CoverageReport report =
      AwaitReport([](const CoverageReport &now) { return now.followed_apps.size() == 1; });
  EXPECT_EQ(report.followed_apps[0].path, listed_);
  ASSERT_EQ(::write(go, "\n", 1), 1);
  ::close(go);
  old_program.join();
  EXPECT_EQ(old_result, 0);
  AwaitReport([](const CoverageReport &now) { return now.followed_apps.empty(); });
}

TEST_F(CoverageApps, GuardedReplacementByAnybodyElseIsNotFollowedUntilReload) {
  const TestRuleset ruleset = Rules({Rule("block", "protect", kAll), GuardOfApps()});
  Apply(ruleset);
  EXPECT_TRUE(ListedMayRead());
  ASSERT_EQ(Shell("cp /bin/cat " + root_ + "/out/next && mv " + root_ + "/out/next " + listed_), 0);
  AwaitReplaced(false);
  EXPECT_FALSE(ListedMayRead());
  Apply(ruleset);
  EXPECT_TRUE(ListedMayRead());
}

TEST_F(CoverageApps, GuardedReplacementByAListedWriterIsFollowed) {
  std::filesystem::copy("/bin/mv", root_ + "/bin/installer");
  TestRule guard = GuardOfApps();
  guard.apps = {ListedApp(1)};
  TestRuleset ruleset = Rules({Rule("block", "protect", kAll), guard});
  ruleset.exes.push_back(root_ + "/bin/installer");
  Apply(ruleset);
  ASSERT_EQ(Shell("cp /bin/cat " + root_ + "/out/next && " + root_ + "/bin/installer " + root_ +
                  "/out/next " + listed_),
            0);
  AwaitReplaced(true);
  EXPECT_TRUE(ListedMayRead());
}

TEST_F(CoverageApps, GuardedReplacementByAPackageManagerIsFollowed) {
  std::filesystem::copy("/bin/dash", root_ + "/bin/packager");
  TestRuleset ruleset = Rules({Rule("block", "protect", kAll), GuardOfApps()});
  ruleset.exes.push_back(root_ + "/bin/packager");
  ruleset.package_managers = {{"packager", {1}}};
  Apply(ruleset);
  ASSERT_EQ(Shell("cp /bin/cat " + root_ + "/out/next"), 0);
  // mv is a child of the package manager.
  ASSERT_EQ(
      Run({root_ + "/bin/packager", "-c", "mv " + root_ + "/out/next " + listed_ + "; sleep 0.1"}),
      0);
  AwaitReplaced(true);
  EXPECT_TRUE(ListedMayRead());
}

TEST_F(CoverageApps, RequiredChecksumFollowsTheContent) {
  const std::string sum = Sha256OfFile(UniqueFd(::open("/bin/cat", O_RDONLY | O_CLOEXEC)).get());
  TestRule rule = Rule("block", "protect", kAll);
  rule.apps[0].more += ",\"sha256\":\"" + sum + "\"";
  Apply(Rules({rule}));
  EXPECT_TRUE(ListedMayRead());
  ASSERT_EQ(Shell("printf x >> " + listed_), 0);
  bool denied = false;
  for (int i = 0; i < 2000 && !denied; ++i) denied = !ListedMayRead();
  EXPECT_TRUE(denied);
}

TEST(CoverageSha256, KnownAnswers) {
  // FIPS 180-4 examples and lengths around the block size.
  auto sum = [](const std::string &text) {
    Sha256 sha256;
    sha256.Update({reinterpret_cast<const uint8_t *>(text.data()), text.size()});
    return sha256.Finish();
  };
  EXPECT_EQ(sum(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sum("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sum(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(sum(std::string(55, 'b')).size(), 64U);
  EXPECT_NE(sum(std::string(55, 'b')), sum(std::string(56, 'b')));
  EXPECT_EQ(Sha256OfFile(-1), "");
  const UniqueFd cat(::open("/bin/cat", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(Sha256OfFile(cat.get(), 1000), "") << "more than asked for";
}

}  // namespace
}  // namespace fileward
