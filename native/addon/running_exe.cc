#include "native/addon/running_exe.h"

#include <cstdint>
#include <optional>

#include "native/kernel/process_files.h"

namespace fileward {

Napi::Value ExeNamesOf(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsNumber()) {
    throw Napi::TypeError::New(info.Env(), "pid must be a number");
  }
  const std::optional<uint32_t> names = ExeNames(info[0].As<Napi::Number>().Int32Value());
  if (!names) return info.Env().Null();
  return Napi::Number::New(info.Env(), *names);
}

}  // namespace fileward
