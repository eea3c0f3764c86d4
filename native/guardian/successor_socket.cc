#include "native/guardian/successor_socket.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "native/base/clock.h"

namespace fileward {
namespace {

// Another keeper answers within this, or hangs.
constexpr int kWordMs = 100;

std::optional<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return std::nullopt;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void EndOther(const sockaddr_un& address) {
  const UniqueFd other(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(other.get(), Generic(address), sizeof(address)) != 0) return;
  constexpr std::string_view kEnd = "end\n";
  if (::send(other.get(), kEnd.data(), kEnd.size(), MSG_NOSIGNAL) < 0) return;
  pollfd answered{other.get(), POLLIN, 0};
  ::poll(&answered, 1, kWordMs);
}

UniqueFd Bind(const std::string& path) {
  const auto address = AddressOf(path);
  if (!address) return {};
  EndOther(*address);
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());
  const mode_t before = ::umask(0177);
  const bool bound = ::bind(listener.get(), Generic(*address), sizeof(*address)) == 0;
  ::umask(before);
  if (!bound || ::listen(listener.get(), 8) != 0) return {};
  return listener;
}

bool IsRoot(int client) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

}  // namespace

SuccessorSocket::SuccessorSocket(const std::string& path, int32_t agent_pid)
    : path_(path),
      agent_pid_(agent_pid),
      since_real_ns_(RealtimeNs()),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      listener_(Bind(path)) {
  if (listener_) Watch(listener_.get());
}

SuccessorSocket::~SuccessorSocket() {
  if (listener_) ::unlink(path_.c_str());
}

void SuccessorSocket::Watch(int fd) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void SuccessorSocket::Accept() {
  UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client || !IsRoot(client.get())) return;
  const auto free = std::ranges::find_if(clients_, [](const UniqueFd& other) { return !other; });
  if (free == clients_.end()) return;
  Watch(client.get());
  *free = std::move(client);
}

bool SuccessorSocket::SaysEnd(uint64_t allowed, uint64_t denied) {
  epoll_event events[1 + kClients];
  const int count = ::epoll_wait(poll_.get(), events, 1 + kClients, 0);
  bool ends = false;
  for (int i = 0; i < count; ++i) {
    if (events[i].data.fd == listener_.get()) {
      Accept();
      continue;
    }
    for (UniqueFd& client : clients_) {
      if (client.get() != events[i].data.fd) continue;
      ends = Serve(client.get(), allowed, denied) || ends;
      client.reset();
    }
  }
  return ends;
}

bool SuccessorSocket::Serve(int client, uint64_t allowed, uint64_t denied) const {
  char word[16];
  const ssize_t got = ::recv(client, word, sizeof(word), MSG_DONTWAIT);
  if (got < 0) return false;
  char line[192];
  const int size = std::snprintf(line, sizeof(line),
                                 "{\"pid\":%d,\"agent\":%d,\"since_ns\":\"%" PRIu64
                                 "\",\"allowed\":%" PRIu64 ",\"denied\":%" PRIu64 "}\n",
                                 ::getpid(), agent_pid_, since_real_ns_, allowed, denied);
  [[maybe_unused]] const ssize_t sent =
      ::send(client, line, static_cast<size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  return std::string_view(word, static_cast<size_t>(got)) == "end\n";
}

}  // namespace fileward
