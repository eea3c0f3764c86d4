#include "native/addon/wakeup.h"

#include <memory>
#include <utility>

#include "native/addon/js_error.h"

namespace fileward {

Wakeup::Wakeup(Napi::Env env, std::function<void(Napi::Env)> on_wake)
    : env_(env), on_wake_(std::move(on_wake)), context_(env, "fileward") {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throw Napi::Error::New(env, "no event loop to wake");
  }
  auto handle = std::make_unique<uv_async_t>();
  const int result = uv_async_init(loop, handle.get(), [](uv_async_t* async) {
    if (auto* const self = static_cast<Wakeup*>(async->data)) self->OnWake();
  });
  if (result != 0) throw SystemError(env, -result, "uv_async_init", "");
  handle->data = this;
  handle_ = handle.release();
}

Wakeup::~Wakeup() { Close(); }

void Wakeup::Close() {
  if (handle_ == nullptr) return;
  handle_->data = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(std::exchange(handle_, nullptr)),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_async_t*>(handle); });
}

void Wakeup::OnWake() {
  const Napi::HandleScope handles(env_);
  // Runs promise reactions when it closes.
  const Napi::CallbackScope scope(env_, context_);
  try {
    on_wake_(env_);
  } catch (const Napi::Error& error) {
    napi_fatal_exception(env_, error.Value());
  }
}

}  // namespace fileward
