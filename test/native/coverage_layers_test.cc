// Of which directories an overlay is made: told by the mount table, which has them as they were
// given.
#include "native/coverage/overlay_layers.h"
#include "test/native/coverage_fixture.h"

namespace fileward {
namespace {

class Layers : public CoverageFixture {
 protected:
  void SetUp() override {
    CoverageFixture::SetUp();
    if (IsSkipped()) return;
    for (const char* name : {"/store", "/store/1", "/store/1/fs", "/store/2", "/store/2/fs",
                             "/store/3", "/store/3/fs", "/store/3/work", "/store/3/merged"}) {
      ASSERT_EQ(::mkdir((root_ + name).c_str(), 0755), 0) << name;
    }
    layers_.on_layer = [this](const std::string& key) { keys_.push_back(key); };
  }
  void TearDown() override {
    ::umount2(Merged().c_str(), MNT_DETACH);
    CoverageFixture::TearDown();
  }

  std::string Store(const std::string& path) const { return root_ + "/store/" + path; }
  std::string Merged() const { return Store("3/merged"); }
  // Mounts it as a runtime does that has its working directory in the store.
  void Mount(const std::string& options) const {
    const std::string script = "cd '" + Store("") + "' && mount -t overlay overlay -o '" + options +
                               "' '" + Merged() + "'";
    ASSERT_EQ(Shell(script), 0) << options;
  }
  bool MayGuard() {
    const UniqueFd fd(::open(Merged().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return layers_.MayGuard(fd.get(), FileStatusOf(fd.get())->identity.dev);
  }
  bool IsLayer(const std::string& path) const {
    const UniqueFd fd(::open(Store(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return layers_.IsLayer(FileStatusOf(fd.get())->identity);
  }

  OverlayLayers layers_;
  std::vector<std::string> keys_;
};

TEST_F(Layers, AreFoundWhereAllAreGivenRelativeToTheStore) {
  Mount("lowerdir=1/fs:2/fs,upperdir=3/fs,workdir=3/work");
  EXPECT_TRUE(MayGuard());
  for (const char* layer : {"1/fs", "2/fs", "3/fs", "3/work"}) EXPECT_TRUE(IsLayer(layer)) << layer;
  EXPECT_EQ(keys_.size(), 4U);
}

TEST_F(Layers, AreFoundWhereTheLowerOnesAreGivenRelativeToTheStore) {
  Mount("lowerdir=1/fs:2/fs,upperdir=" + Store("3/fs") + ",workdir=" + Store("3/work"));
  EXPECT_TRUE(MayGuard());
  for (const char* layer : {"1/fs", "2/fs", "3/fs"}) EXPECT_TRUE(IsLayer(layer)) << layer;
}

TEST_F(Layers, ThatAreFoundInTwoPlacesAreNotBelieved) {
  const std::string other = root_ + "/other";
  for (const char* name : {"", "/1", "/1/fs", "/3", "/3/fs", "/3/work"}) {
    ASSERT_EQ(::mkdir((other + name).c_str(), 0755), 0);
  }
  Mount("lowerdir=1/fs:2/fs,upperdir=" + other + "/3/fs,workdir=" + other + "/3/work");
  EXPECT_TRUE(MayGuard()) << "2/fs is in the store alone";
  ASSERT_EQ(::mkdir((other + "/2").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((other + "/2/fs").c_str(), 0755), 0);
  OverlayLayers afresh;
  afresh.on_layer = [](const std::string&) {};
  const UniqueFd fd(::open(Merged().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(afresh.MayGuard(fd.get(), FileStatusOf(fd.get())->identity.dev));
}

TEST_F(Layers, ThatAreFoundNoMoreAreNotBelieved) {
  Mount("lowerdir=1/fs:2/fs,upperdir=3/fs,workdir=3/work");
  ASSERT_EQ(::rename(Store("2").c_str(), Store("4").c_str()), 0);
  EXPECT_FALSE(MayGuard()) << "the layer may be covered where it is now";
  EXPECT_TRUE(keys_.empty());
}

TEST_F(Layers, MayHaveColonsAndCommasInTheirNames) {
  ASSERT_EQ(::mkdir(Store("a:b").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(Store("c,d").c_str(), 0755), 0);
  const std::string options = "lowerdir=" + Store("a\\:b") + ":" + Store("c\\,d") +
                              ",upperdir=" + Store("3/fs") + ",workdir=" + Store("3/work");
  ASSERT_EQ(::mount("overlay", Merged().c_str(), "overlay", 0, options.c_str()), 0)
      << std::strerror(errno);
  EXPECT_TRUE(MayGuard());
  for (const char* layer : {"a:b", "c,d", "3/fs"}) EXPECT_TRUE(IsLayer(layer)) << layer;
}

}  // namespace
}  // namespace fileward
