#include "native/addon/root_file_worker.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "native/addon/js_error.h"
#include "native/kernel/root_file.h"

namespace fileward {
namespace {

struct Wanted {
  int32_t pid = 0;
  uint64_t start_ticks = 0;
  std::string path;
};

// What JavaScript holds in memory at once for it.
constexpr double kMostBytes = 64 * 1024 * 1024;

double NumberArgument(const Napi::CallbackInfo& info, size_t index, const char* name, double most) {
  const Napi::Value value = info[index];
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (number >= 0 && number <= most) return number;
  throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a number up to " +
                                             std::to_string(static_cast<int64_t>(most)));
}

std::string PathArgument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Value value = info[index];
  std::string path;
  if (value.IsString()) {
    path = value.As<Napi::String>().Utf8Value();
  } else if (value.IsTypedArray() &&
             value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto bytes = value.As<Napi::Uint8Array>();
    path.assign(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  }
  if (!path.empty() && path.find('\0') == std::string::npos) return path;
  throw Napi::TypeError::New(info.Env(), "path must be a string or bytes, without NUL");
}

Wanted WantedOf(const Napi::CallbackInfo& info) {
  Wanted wanted;
  wanted.pid = static_cast<int32_t>(NumberArgument(info, 0, "pid", 0x7fffffff));
  const std::string ticks = StringArgument(info, 1, "startTicks");
  const char* const end = ticks.data() + ticks.size();
  const auto parsed = std::from_chars(ticks.data(), end, wanted.start_ticks);
  if (parsed.ec != std::errc{} || parsed.ptr != end) {
    throw Napi::TypeError::New(info.Env(), "startTicks must be a decimal number");
  }
  wanted.path = PathArgument(info, 2);
  return wanted;
}

// A thread of the pool: a disk may keep it waiting.
template <typename Found>
class Worker : public Napi::AsyncWorker {
 public:
  Worker(Napi::Env env, Wanted wanted)
      : AsyncWorker(env), deferred_(env), wanted_(std::move(wanted)) {}
  // Deletes itself when it has run.
  Napi::Promise Start() {
    Queue();
    return deferred_.Promise();
  }

 protected:
  virtual std::optional<Found> Find(int root_fd, const Wanted& wanted) const = 0;
  virtual Napi::Value ToJs(Found found) = 0;

  void Execute() override {
    const Result<ProcessRoot> process = OpenProcessRoot(wanted_.pid, wanted_.start_ticks);
    if (process) found_ = Find(process->root.get(), wanted_);
  }
  void OnOK() override { deferred_.Resolve(found_ ? ToJs(*std::move(found_)) : Env().Null()); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  const Napi::Promise::Deferred deferred_;
  const Wanted wanted_;
  std::optional<Found> found_;
};

class ReadWorker : public Worker<std::string> {
 public:
  ReadWorker(Napi::Env env, Wanted wanted, size_t most_bytes)
      : Worker(env, std::move(wanted)), most_bytes_(most_bytes) {}

 protected:
  std::optional<std::string> Find(int root_fd, const Wanted& wanted) const override {
    Result<FileContent> content = ReadInRoot(root_fd, wanted.pid, wanted.path, most_bytes_);
    return content ? std::optional(std::move(content->bytes)) : std::nullopt;
  }
  Napi::Value ToJs(std::string bytes) override {
    auto array = Napi::Uint8Array::New(Env(), bytes.size());
    bytes.copy(reinterpret_cast<char*>(array.Data()), bytes.size());
    return array;
  }

 private:
  const size_t most_bytes_;
};

class OpenWorker : public Worker<UniqueFd> {
 public:
  using Worker::Worker;

 protected:
  std::optional<UniqueFd> Find(int root_fd, const Wanted& wanted) const override {
    Result<UniqueFd> file = FindInRoot(root_fd, wanted.pid, wanted.path, O_NOFOLLOW);
    struct stat status {};
    if (!file || ::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return *std::move(file);
  }
  Napi::Value ToJs(UniqueFd file) override { return Napi::Number::New(Env(), file.release()); }
};

}  // namespace

Napi::Value ReadFileOf(const Napi::CallbackInfo& info) {
  const auto most = static_cast<size_t>(NumberArgument(info, 3, "maxBytes", kMostBytes));
  return (new ReadWorker(info.Env(), WantedOf(info), most))->Start();
}

Napi::Value OpenFileOf(const Napi::CallbackInfo& info) {
  return (new OpenWorker(info.Env(), WantedOf(info)))->Start();
}

}  // namespace fileward
