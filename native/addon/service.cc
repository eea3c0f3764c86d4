#include "native/addon/service.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "native/addon/js_error.h"
#include "native/base/unique_fd.h"

namespace fileward {

Napi::Value SdNotify(const Napi::CallbackInfo& info) {
  const std::string message = StringArgument(info, 0, "message");
  const auto answer = [&](bool sent) { return Napi::Boolean::New(info.Env(), sent); };

  const char* const name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr || (name[0] != '/' && name[0] != '@')) return answer(false);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(name);
  if (length >= sizeof(address.sun_path)) return answer(false);
  std::memcpy(address.sun_path, name, length);
  // An abstract address has no NUL at its end, a path may do without one.
  if (name[0] == '@') address.sun_path[0] = '\0';
  const auto address_length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);

  const UniqueFd socket_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_fd) return answer(false);
  const ssize_t sent = sendto(socket_fd.get(), message.data(), message.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), address_length);
  return answer(sent == static_cast<ssize_t>(message.size()));
}

Napi::Value LockFile(const Napi::CallbackInfo& info) {
  const std::string path = StringArgument(info, 0, "path");
  // To read first: the agent that holds the lock lets nobody write there, and a second one must be
  // told that it is the second. NFS locks only what is open to write.
  for (const int flags : {O_RDONLY, O_RDWR | O_CREAT}) {
    UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd && errno == ENOENT && flags == O_RDONLY) continue;
    if (!fd) throw SystemError(info.Env(), errno, "open", path);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
      // The lock lives as long as the descriptor: until the process ends.
      (void)fd.release();
      return Napi::Boolean::New(info.Env(), true);
    }
    if (errno == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
    if (errno != EBADF || flags != O_RDONLY) throw SystemError(info.Env(), errno, "flock", path);
  }
  return Napi::Boolean::New(info.Env(), false);
}

Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsNumber()) {
    throw Napi::TypeError::New(env, "fd must be a number");
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  const int fd = info[0].As<Napi::Number>().Int32Value();
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    throw SystemError(env, errno, "getsockopt", "a socket");
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, peer.pid));
  result.Set("uid", Napi::Number::New(env, peer.uid));
  result.Set("gid", Napi::Number::New(env, peer.gid));
  return result;
}

Napi::Value ExitNow(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsNumber()) {
    throw Napi::TypeError::New(info.Env(), "status must be a number");
  }
  _exit(info[0].As<Napi::Number>().Int32Value());
}

}  // namespace fileward
