#include "native/addon/js_error.h"

#include <uv.h>

namespace fileward {

Napi::Error SystemError(Napi::Env env, int error_number, std::string_view syscall,
                        std::string_view what) {
  char name[64];
  char text[128];
  uv_err_name_r(-error_number, name, sizeof(name));
  uv_strerror_r(-error_number, text, sizeof(text));
  std::string message = std::string(name) + ": " + text + ", " + std::string(syscall);
  if (!what.empty()) message += ": " + std::string(what);
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, name));
  error.Set("errno", Napi::Number::New(env, -error_number));
  error.Set("syscall", Napi::String::New(env, std::string(syscall)));
  return error;
}

Napi::Error SystemError(Napi::Env env, const Error& error) {
  return SystemError(env, error.error_number, error.syscall, error.what);
}

Napi::Error CodedError(Napi::Env env, std::string_view code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, std::string(code)));
  return error;
}

std::string StringArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (info.Length() <= index || !info[index].IsString()) {
    throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a string");
  }
  return info[index].As<Napi::String>().Utf8Value();
}

}  // namespace fileward
