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
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) throw SystemError(info.Env(), errno, "open", path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
    throw SystemError(info.Env(), errno, "flock", path);
  }
  // The lock lives as long as the descriptor: until the process ends.
  (void)fd.release();
  return Napi::Boolean::New(info.Env(), true);
}

Napi::Value ExitNow(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsNumber()) {
    throw Napi::TypeError::New(info.Env(), "status must be a number");
  }
  _exit(info[0].As<Napi::Number>().Int32Value());
}

}  // namespace fileward
