// coveredFiles() of a session, off the JavaScript thread.
#ifndef FILEWARD_ADDON_COVERED_FILES_WORKER_H_
#define FILEWARD_ADDON_COVERED_FILES_WORKER_H_

#include <napi.h>

#include <cstring>
#include <utility>
#include <vector>

#include "native/coverage/coverage.h"

namespace fileward {

// The second step: fills the array that JavaScript made. Some 15 MB for 100,000 files, and the
// first touch of each of their pages; the JavaScript thread would stand still for it.
class CopyWorker : public Napi::AsyncWorker {
 public:
  CopyWorker(const Napi::Promise::Deferred& deferred, Napi::Uint8Array array,
             std::vector<std::byte> bytes)
      : AsyncWorker(array.Env()),
        deferred_(deferred),
        array_(Napi::Persistent(array)),
        data_(array.Data()),
        bytes_(std::move(bytes)) {}

 protected:
  void Execute() override { std::memcpy(data_, bytes_.data(), bytes_.size()); }
  void OnOK() override { deferred_.Resolve(array_.Value()); }

 private:
  const Napi::Promise::Deferred deferred_;
  const Napi::Reference<Napi::Uint8Array> array_;
  uint8_t* const data_;
  const std::vector<std::byte> bytes_;
};

// A thread of the pool waits for coverage and sorts.
class CoveredFilesWorker : public Napi::AsyncWorker {
 public:
  CoveredFilesWorker(Napi::Env env, Napi::Object session, Coverage& coverage)
      : AsyncWorker(env),
        session_(Napi::Persistent(session)),
        deferred_(env),
        coverage_(coverage) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { bytes_ = coverage_.TakeCoveredFiles().Encode(); }
  void OnOK() override {
    const auto array = Napi::Uint8Array::New(Env(), bytes_.size());
    (new CopyWorker(deferred_, array, std::move(bytes_)))
        ->Queue();  // deletes itself when it has run
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  // Keeps the session, and Coverage with it, until this has ended.
  const Napi::ObjectReference session_;
  const Napi::Promise::Deferred deferred_;
  Coverage& coverage_;
  std::vector<std::byte> bytes_;
};

}  // namespace fileward

#endif  // FILEWARD_ADDON_COVERED_FILES_WORKER_H_
