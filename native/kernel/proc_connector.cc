#include "native/kernel/proc_connector.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "native/base/clock.h"

namespace fileward {
namespace {

constexpr size_t kMessages = 128;
constexpr size_t kMessageBytes = 256;
// Some 40,000 messages: a second of the wildest forking. The kernel doubles it for its own
// overhead.
constexpr int kReceiveBytes = 16 * 1024 * 1024;
constexpr int kAnswerWaitMs = 500;
// Older kernels don't number the answers to listeners.
constexpr uint32_t kNoCpu = UINT32_MAX;

struct Message {
  uint32_t sequence = 0;
  proc_event event{};
};

std::optional<Message> ParseMessage(const std::byte* bytes, size_t length) {
  nlmsghdr netlink{};
  cn_msg connector{};
  constexpr size_t kHeaderBytes = NLMSG_HDRLEN + sizeof(connector);
  if (length < kHeaderBytes) return std::nullopt;
  std::memcpy(&netlink, bytes, sizeof(netlink));
  std::memcpy(&connector, bytes + NLMSG_HDRLEN, sizeof(connector));
  if (netlink.nlmsg_len > length || connector.id.idx != CN_IDX_PROC ||
      connector.id.val != CN_VAL_PROC || connector.len > length - kHeaderBytes) {
    return std::nullopt;
  }
  Message message;
  message.sequence = connector.seq;
  std::memcpy(&message.event, bytes + kHeaderBytes,
              std::min<size_t>(connector.len, sizeof(message.event)));
  return message;
}

std::optional<ProcEvent> ToProcEvent(const proc_event& from) {
  ProcEvent to;
  to.timestamp_ns = from.timestamp_ns;
  const auto& data = from.event_data;
  switch (static_cast<uint32_t>(from.what)) {
    case proc_event::PROC_EVENT_FORK:
      to.what = ProcEvent::What::kFork;
      to.pid = data.fork.child_pid;
      to.tgid = data.fork.child_tgid;
      to.parent_pid = data.fork.parent_pid;
      to.parent_tgid = data.fork.parent_tgid;
      return to;
    case proc_event::PROC_EVENT_EXEC:
      to.what = ProcEvent::What::kExec;
      to.pid = data.exec.process_pid;
      to.tgid = data.exec.process_tgid;
      return to;
    case static_cast<uint32_t>(proc_event::PROC_EVENT_EXIT):
      to.what = ProcEvent::What::kExit;
      to.pid = data.exit.process_pid;
      to.tgid = data.exit.process_tgid;
      return to;
    case proc_event::PROC_EVENT_UID:
      to.what = ProcEvent::What::kUid;
      to.pid = data.id.process_pid;
      to.tgid = data.id.process_tgid;
      to.ruid = data.id.r.ruid;
      to.euid = data.id.e.euid;
      return to;
    default:
      return std::nullopt;
  }
}

Result<void> Listen(int socket) {
  const uint32_t operation = PROC_CN_MCAST_LISTEN;
  std::array<std::byte, NLMSG_HDRLEN + sizeof(cn_msg) + sizeof(operation)> request{};
  nlmsghdr netlink{};
  netlink.nlmsg_len = request.size();
  netlink.nlmsg_type = NLMSG_DONE;
  cn_msg connector{};
  connector.id = {CN_IDX_PROC, CN_VAL_PROC};
  connector.len = sizeof(operation);
  std::memcpy(request.data(), &netlink, sizeof(netlink));
  std::memcpy(request.data() + NLMSG_HDRLEN, &connector, sizeof(connector));
  std::memcpy(request.data() + NLMSG_HDRLEN + sizeof(connector), &operation, sizeof(operation));
  if (::send(socket, request.data(), request.size(), 0) != static_cast<ssize_t>(request.size())) {
    return ErrnoError("send", "proc connector");
  }
  return {};
}

// The kernel answers a LISTEN that it takes with an event of its own kind; where it ignores us
// (another pid or user namespace) nothing comes.
Result<void> AwaitAnswer(int socket) {
  const uint64_t deadline_ns = MonotonicNs() + kAnswerWaitMs * 1'000'000u;
  std::array<std::byte, kMessageBytes> bytes;
  while (MonotonicNs() < deadline_ns) {
    pollfd ready{socket, POLLIN, 0};
    if (::poll(&ready, 1, kAnswerWaitMs) <= 0) break;
    const ssize_t length = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (length < 0) continue;
    const auto message = ParseMessage(bytes.data(), static_cast<size_t>(length));
    if (!message || message->event.what != proc_event::PROC_EVENT_NONE) continue;
    const int error = static_cast<int>(message->event.event_data.ack.err);
    if (error != 0) return Error{error, "send", "proc connector: refused"};
    return {};
  }
  return Error{ETIMEDOUT, "recv", "proc connector: no answer (not in the initial namespaces?)"};
}

}  // namespace

struct ProcConnector::Buffers {
  std::array<mmsghdr, kMessages> headers{};
  std::array<iovec, kMessages> pieces{};
  std::array<sockaddr_nl, kMessages> senders{};
  std::array<std::array<std::byte, kMessageBytes>, kMessages> bytes{};
};

ProcConnector::ProcConnector(UniqueFd socket)
    : socket_(std::move(socket)), buffers_(std::make_unique<Buffers>()) {
  for (size_t i = 0; i < kMessages; ++i) {
    buffers_->pieces[i] = {buffers_->bytes[i].data(), kMessageBytes};
    buffers_->headers[i].msg_hdr.msg_iov = &buffers_->pieces[i];
    buffers_->headers[i].msg_hdr.msg_iovlen = 1;
    buffers_->headers[i].msg_hdr.msg_name = &buffers_->senders[i];
  }
}

ProcConnector::ProcConnector(ProcConnector&&) noexcept = default;
ProcConnector& ProcConnector::operator=(ProcConnector&&) noexcept = default;
ProcConnector::~ProcConnector() = default;

Result<ProcConnector> ProcConnector::Open() {
  UniqueFd socket(
      ::socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR));
  if (!socket) return ErrnoError("socket", "proc connector");
  // Before listening: what comes while we scan /proc has to fit.
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes,
                   sizeof(kReceiveBytes)) != 0) {
    return ErrnoError("setsockopt", "SO_RCVBUFFORCE");
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoError("bind", "proc connector");
  }
  if (Result<void> listening = Listen(socket.get()); !listening) return listening.error();
  if (Result<void> answer = AwaitAnswer(socket.get()); !answer) return answer.error();
  return ProcConnector(std::move(socket));
}

Result<ProcConnector::Batch> ProcConnector::Receive(std::vector<ProcEvent>& events) {
  for (mmsghdr& header : buffers_->headers) header.msg_hdr.msg_namelen = sizeof(sockaddr_nl);
  const int received =
      ::recvmmsg(socket_.get(), buffers_->headers.data(), kMessages, MSG_DONTWAIT, nullptr);
  Batch batch;
  if (received < 0) {
    if (errno == EAGAIN) {
      batch.drained = true;
    } else if (errno == ENOBUFS) {
      batch.lost = 1;
    } else if (errno != EINTR) {
      return ErrnoError("recvmmsg", "proc connector");
    }
    return batch;
  }
  for (size_t i = 0; i < static_cast<size_t>(received); ++i) {
    if (buffers_->senders[i].nl_pid != 0) continue;  // not the kernel's
    const auto message = ParseMessage(buffers_->bytes[i].data(), buffers_->headers[i].msg_len);
    if (!message || message->event.cpu == kNoCpu) continue;
    // Each CPU numbers its messages, answers to other listeners among them; a gap is one for which
    // the kernel had no memory.
    const auto [next, first] = next_sequence_.try_emplace(message->event.cpu, message->sequence);
    if (!first) batch.lost += message->sequence - next->second;
    next->second = message->sequence + 1;
    if (const auto event = ToProcEvent(message->event)) {
      events.push_back(*event);
      ++batch.count;
    }
  }
  return batch;
}

}  // namespace fileward
