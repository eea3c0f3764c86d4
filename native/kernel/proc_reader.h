// Reading one small /proc file into a buffer on the stack; for the files of this folder.
#ifndef FILEWARD_KERNEL_PROC_READER_H_
#define FILEWARD_KERNEL_PROC_READER_H_

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "native/base/unique_fd.h"

namespace fileward {

// "/proc/<pid>/<name>"
class ProcPath {
 public:
  ProcPath(int32_t pid, const char* name) {
    std::snprintf(text_.data(), text_.size(), "/proc/%d/%s", pid, name);
  }
  const char* c_str() const { return text_.data(); }

 private:
  std::array<char, 64> text_{};
};

template <size_t kBytes>
class ProcText {
 public:
  ProcText(int32_t pid, const char* name) : ProcText(ProcPath(pid, name).c_str()) {}
  explicit ProcText(const char* path) {
    const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
    if (!file) return;
    while (size_ < kBytes) {
      const ssize_t got = ::read(file.get(), bytes_.data() + size_, kBytes - size_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return;
      if (got == 0) break;
      size_ += static_cast<size_t>(got);
    }
    ok_ = true;
  }

  // False when the file could not be opened or read: as a rule, the process is gone.
  bool ok() const { return ok_; }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, kBytes> bytes_;  // not cleared: only [0, size_) is ever looked at
  size_t size_ = 0;
  bool ok_ = false;
};

// Cuts the first line off `text`, without its newline.
inline std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

// Cuts the first word off `text`, at blanks and tabs.
inline std::string_view TakeWord(std::string_view& text) {
  const size_t begin = text.find_first_not_of(" \t");
  text.remove_prefix(begin == std::string_view::npos ? text.size() : begin);
  const std::string_view word = text.substr(0, text.find_first_of(" \t"));
  text.remove_prefix(word.size());
  return word;
}

// 0 for what is not a number.
template <typename Number>
Number ParseNumber(std::string_view text, int base = 10) {
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number, base);
  return number;
}

}  // namespace fileward

#endif  // FILEWARD_KERNEL_PROC_READER_H_
