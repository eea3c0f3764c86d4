#ifndef FILEWARD_GUARDIAN_SUCCESSOR_SOCKET_H_
#define FILEWARD_GUARDIAN_SUCCESSOR_SOCKET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "native/base/unique_fd.h"

namespace fileward {

// Where the next agent ends a guardian that keeps the group of a dead one: a unix socket (0600,
// root's only, checked by the kernel's word on who connects). Whoever connects says "end\n" and
// gets one line of JSON: what was answered since. Whoever says anything else gets the line alone.
//
// There is one keeper at most: a new one ends the one that listens here already.
class SuccessorSocket {
 public:
  // Binds; where that fails only a signal ends the guardian.
  SuccessorSocket(const std::string& path, int32_t agent_pid);
  ~SuccessorSocket();
  SuccessorSocket(const SuccessorSocket&) = delete;
  SuccessorSocket& operator=(const SuccessorSocket&) = delete;

  // Readable when somebody connects or speaks; never when it could not be bound.
  int fd() const { return poll_.get(); }
  // Serves who has spoken; waits for nobody. True: one of them said end.
  bool SaysEnd(uint64_t allowed, uint64_t denied);

 private:
  // Root's processes that have connected and said nothing yet; more are turned away.
  static constexpr size_t kClients = 8;
  void Accept();
  void Watch(int fd) const;
  bool Serve(int client, uint64_t allowed, uint64_t denied) const;

  const std::string& path_;
  const int32_t agent_pid_;
  const uint64_t since_real_ns_;
  const UniqueFd poll_;  // epoll of the listener and all clients
  const UniqueFd listener_;
  std::array<UniqueFd, kClients> clients_;
};

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_SUCCESSOR_SOCKET_H_
