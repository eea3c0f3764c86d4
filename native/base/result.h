#ifndef FILEWARD_BASE_RESULT_H_
#define FILEWARD_BASE_RESULT_H_

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace fileward {

// What failed, as Node's own errors say it: errno, the call, and what it was about.
struct Error {
  int error_number = 0;
  const char* syscall = "";  // a literal: "fanotify_mark", ...; "" when no call failed
  std::string what;          // path, option or message

  std::string Message() const {
    std::string text = syscall;
    if (!what.empty()) text += (text.empty() ? "" : " ") + what;
    if (error_number != 0) text += std::string(": ") + ::strerrordesc_np(error_number);
    return text;
  }
};

// Takes errno now: call it before anything that may change it.
inline Error ErrnoError(const char* syscall, std::string what = {}) {
  return Error{errno, syscall, std::move(what)};
}

// A value or an Error. `value()` of an Error and `error()` of a value throw
// std::bad_variant_access: a bug of the caller's.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: as intended
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<std::monostate, Error> state_;
};

}  // namespace fileward

#endif  // FILEWARD_BASE_RESULT_H_
