// release() of a session, off the JavaScript thread.
#ifndef FILEWARD_ADDON_RELEASE_WORKER_H_
#define FILEWARD_ADDON_RELEASE_WORKER_H_

#include <napi.h>

#include <string>
#include <utility>

#include "native/coverage/coverage.h"

namespace fileward {

// Coverage answers when it is done with what it is at, so a thread of the pool waits, not
// JavaScript.
class ReleaseWorker : public Napi::AsyncWorker {
 public:
  ReleaseWorker(Napi::Env env, Napi::Object session, Coverage& coverage, std::string path)
      : AsyncWorker(env),
        session_(Napi::Persistent(session)),
        deferred_(env),
        coverage_(coverage),
        path_(std::move(path)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { released_ = coverage_.Release(path_); }
  void OnOK() override { deferred_.Resolve(Napi::Boolean::New(Env(), released_)); }

 private:
  // Keeps the session, and Coverage with it, until this has ended.
  const Napi::ObjectReference session_;
  const Napi::Promise::Deferred deferred_;
  Coverage& coverage_;
  const std::string path_;
  bool released_ = false;
};

}  // namespace fileward

#endif  // FILEWARD_ADDON_RELEASE_WORKER_H_
