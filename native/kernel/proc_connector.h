// The kernel's process feed (NETLINK_CONNECTOR, CN_IDX_PROC): fork, exec, exit and user changes of
// every task.
//
// Owns one netlink socket with a large buffer; one thread receives. The kernel drops messages when
// the buffer is full (ENOBUFS) and, silently, when it has no memory (a gap in a CPU's numbers);
// both come out as `lost`, and what follows can't be trusted to be complete: read /proc again.
// Messages of one task and those that it forks arrive in the order in which they happened.
#ifndef FILEWARD_KERNEL_PROC_CONNECTOR_H_
#define FILEWARD_KERNEL_PROC_CONNECTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"

namespace fileward {

struct ProcEvent {
  enum class What : uint8_t { kFork, kExec, kExit, kUid };
  What what = What::kFork;
  int32_t pid = 0;  // of the thread; of the child for kFork
  int32_t tgid = 0;
  int32_t parent_pid = 0;     // kFork: the thread that is the new one's parent
  int32_t parent_tgid = 0;    // kFork
  uint32_t ruid = 0;          // kUid
  uint32_t euid = 0;          // kUid
  uint64_t timestamp_ns = 0;  // CLOCK_MONOTONIC when the kernel sent it
};

class ProcConnector {
 public:
  // Fails without CAP_NET_ADMIN (before 6.6), outside the initial pid and user namespace, or
  // without the connector.
  static Result<ProcConnector> Open();

  ProcConnector(ProcConnector&&) noexcept;
  ProcConnector& operator=(ProcConnector&&) noexcept;
  ~ProcConnector();

  int fd() const { return socket_.get(); }

  struct Batch {
    size_t count = 0;      // appended to `events`; 0 doesn't mean that nothing waits
    uint64_t lost = 0;     // messages known to be missing before the end of this batch (1 when the
                           // number is unknown)
    bool drained = false;  // the socket was empty
  };
  // Never blocks. `events` is appended to.
  Result<Batch> Receive(std::vector<ProcEvent>& events);

 private:
  struct Buffers;
  explicit ProcConnector(UniqueFd socket);

  UniqueFd socket_;
  std::unique_ptr<Buffers> buffers_;
  std::unordered_map<uint32_t, uint32_t> next_sequence_;  // by CPU
};

}  // namespace fileward

#endif  // FILEWARD_KERNEL_PROC_CONNECTOR_H_
