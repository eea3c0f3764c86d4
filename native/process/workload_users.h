#ifndef FILEWARD_PROCESS_WORKLOAD_USERS_H_
#define FILEWARD_PROCESS_WORKLOAD_USERS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "native/kernel/root_file.h"

namespace fileward {

// The users of one container: its own /etc/passwd and the uid map of its user namespace. Immutable;
// the look-ups are cheap and may be made on the decision thread. The file is whatever the container
// wrote into it: at most kMostPasswdBytes of it are read, kMostUsers kept.
class WorkloadUsers {
 public:
  static constexpr size_t kMostPasswdBytes = 1024 * 1024;
  static constexpr size_t kMostUsers = 20'000;
  static constexpr uint32_t kNobody = 0xffffffffU;  // no uid: what the kernel calls an invalid one

  // `root_fd`: the container's root; `init_pid`: whose uid map. Never null: without a passwd file
  // there are no names, without a map uids are what they are on the host. Opens and reads files of
  // the container, so not for the decision thread.
  static std::shared_ptr<const WorkloadUsers> Read(int root_fd, int32_t init_pid);

  // As getpwnam has it: of the first line with this name. A uid inside the user namespace.
  std::optional<uint32_t> UidOf(std::string_view name) const;
  // What a uid of the host is inside; kNobody when it isn't mapped.
  uint32_t Inside(uint32_t host_uid) const;
  // True while /etc/passwd is still the file that was read: one look, no open of the file.
  bool IsCurrent(int root_fd) const;

 private:
  struct Range {
    uint32_t inside = 0;
    uint32_t outside = 0;
    uint32_t count = 0;
  };
  std::vector<std::pair<std::string, uint32_t>> users_;  // by name
  std::vector<Range> ranges_;
  FileVersion passwd_;
  int32_t init_pid_ = 0;
};

}  // namespace fileward

#endif  // FILEWARD_PROCESS_WORKLOAD_USERS_H_
