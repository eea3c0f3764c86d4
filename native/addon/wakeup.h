// A call on the JavaScript thread that any thread can ask for: a uv_async_t. However often it is
// asked for, it comes at least once after the last time, without payload. While it is open it keeps
// the event loop alive. Chosen over Napi::ThreadSafeFunction, which takes a mutex in the calling
// thread: the decision thread must not.
#ifndef FILEWARD_ADDON_WAKEUP_H_
#define FILEWARD_ADDON_WAKEUP_H_

#include <napi.h>
#include <uv.h>

#include <functional>

namespace fileward {

class Wakeup {
 public:
  // `on_wake` runs on the JavaScript thread, inside a callback scope; a Napi::Error it throws is an
  // uncaught exception.
  Wakeup(Napi::Env env, std::function<void(Napi::Env)> on_wake);
  // JavaScript thread.
  ~Wakeup();
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  // Any thread; neither blocks nor allocates. Not after Close.
  void Send() { uv_async_send(handle_); }

  // JavaScript thread, when nobody can call Send any more. Idempotent.
  void Close();

 private:
  void OnWake();

  const Napi::Env env_;
  const std::function<void(Napi::Env)> on_wake_;
  Napi::AsyncContext context_;
  uv_async_t* handle_ = nullptr;  // belongs to the loop from Close on
};

}  // namespace fileward

#endif  // FILEWARD_ADDON_WAKEUP_H_
