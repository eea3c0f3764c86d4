#ifndef FILEWARD_KERNEL_SCRATCH_DIRECTORY_H_
#define FILEWARD_KERNEL_SCRATCH_DIRECTORY_H_

#include <string>

#include "native/base/result.h"
#include "native/base/unique_fd.h"

namespace fileward {

// A directory for trying marks in, where they can hold up nobody else: a tmpfs that is mounted
// nowhere (fsopen, 5.2), or else a directory of mode 0700 under /tmp, removed again with the file
// in it.
class ScratchDirectory {
 public:
  // With one file in it: kFile, executable, some bytes that no kernel can run.
  static Result<ScratchDirectory> Create();
  static constexpr const char* kFile = "probe";

  ScratchDirectory(ScratchDirectory&&) = default;
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  ~ScratchDirectory();

  int fd() const { return directory_.get(); }

 private:
  explicit ScratchDirectory(UniqueFd directory) : directory_(std::move(directory)) {}

  UniqueFd directory_;
  std::string path_;  // to remove; empty when detached
};

}  // namespace fileward

#endif  // FILEWARD_KERNEL_SCRATCH_DIRECTORY_H_
