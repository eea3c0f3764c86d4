// Errors for JavaScript in the shape of Node's own: `code`, `errno` (negative, as libuv has it) and
// `syscall`.
#ifndef FILEWARD_ADDON_JS_ERROR_H_
#define FILEWARD_ADDON_JS_ERROR_H_

#include <napi.h>

#include <string>
#include <string_view>

#include "native/base/result.h"

namespace fileward {

Napi::Error SystemError(Napi::Env env, int error_number, std::string_view syscall,
                        std::string_view what);
Napi::Error SystemError(Napi::Env env, const Error& error);

// A mistake of the caller or a state that doesn't allow the call: `code` only.
Napi::Error CodedError(Napi::Env env, std::string_view code, const std::string& message);

// The value, or a thrown SystemError. For set-up code on the JavaScript thread.
template <typename T>
T ValueOrThrow(Napi::Env env, Result<T> result) {
  if (!result.ok()) throw SystemError(env, result.error());
  return std::move(result).value();
}

// Arguments, or a TypeError that names what is wrong.
std::string StringArgument(const Napi::CallbackInfo& info, size_t index, const char* name);

}  // namespace fileward

#endif  // FILEWARD_ADDON_JS_ERROR_H_
