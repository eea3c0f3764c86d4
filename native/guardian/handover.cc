#include "native/guardian/handover.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstring>

namespace fileward {
namespace {

constexpr size_t kFds = 4;
using FdList = std::array<int, kFds>;

struct Message {
  explicit Message(int32_t* agent_pid) : piece{agent_pid, sizeof(*agent_pid)} {
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
  }
  iovec piece;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(FdList))]{};
  msghdr header{};
};

}  // namespace

Result<void> SendHandover(int socket, const HandoverFds& fds, int32_t agent_pid) {
  Message message(&agent_pid);
  cmsghdr* const control = CMSG_FIRSTHDR(&message.header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof(FdList));
  const FdList list = {fds.group, fds.journal, fds.agent, fds.wake};
  std::memcpy(CMSG_DATA(control), list.data(), sizeof(list));
  if (::sendmsg(socket, &message.header, MSG_NOSIGNAL) < 0)
    return ErrnoError("sendmsg", "guardian");
  return {};
}

Result<Handover> ReceiveHandover(int socket) {
  int32_t agent_pid = 0;
  Message message(&agent_pid);
  if (::recvmsg(socket, &message.header, MSG_CMSG_CLOEXEC) != sizeof(agent_pid)) {
    return ErrnoError("recvmsg", "agent");
  }
  const cmsghdr* const control = CMSG_FIRSTHDR(&message.header);
  if (control == nullptr || control->cmsg_type != SCM_RIGHTS ||
      control->cmsg_len != CMSG_LEN(sizeof(FdList))) {
    return Error{EPROTO, "recvmsg", "agent"};
  }
  FdList list{};
  std::memcpy(list.data(), CMSG_DATA(control), sizeof(list));
  return Handover{UniqueFd(list[0]), UniqueFd(list[1]), UniqueFd(list[2]), UniqueFd(list[3]),
                  agent_pid};
}

void SendStands(int socket) {
  const char stands = 1;
  // The agent may be gone: then its pidfd says so.
  [[maybe_unused]] const ssize_t sent = ::send(socket, &stands, sizeof(stands), MSG_NOSIGNAL);
}

bool AwaitStands(int socket, int timeout_ms) {
  pollfd ready{socket, POLLIN, 0};
  char stands = 0;
  return ::poll(&ready, 1, timeout_ms) == 1 && ::recv(socket, &stands, sizeof(stands), 0) == 1;
}

}  // namespace fileward
