// One running core for JavaScript: class Session of src/native/addon.ts.
#ifndef FILEWARD_ADDON_SESSION_H_
#define FILEWARD_ADDON_SESSION_H_

#include <napi.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "native/addon/quiet_totals.h"
#include "native/addon/wakeup.h"
#include "native/base/result.h"
#include "native/coverage/coverage.h"
#include "native/decision/decision_thread.h"
#include "native/event/event_ring.h"
#include "native/guardian/guardian_keeper.h"
#include "native/kernel/fanotify_group.h"
#include "native/process/process_feed.h"
#include "native/process/process_table.h"

namespace fileward {

// A new Session is open: its threads run, it keeps the event loop and itself alive. After close()
// setRuleset, setWorkloads and release reject with ERR_FILEWARD_SESSION_CLOSED, drain gives what
// was left, stats the last numbers, close does nothing.
class Session : public Napi::ObjectWrap<Session> {
 public:
  static Napi::Function Define(Napi::Env env);
  // Hides ObjectWrap's: a method called on anything but a Session is a TypeError.
  static Session* Unwrap(Napi::Object object);

  explicit Session(const Napi::CallbackInfo& info);
  ~Session() override;

 private:
  // What threads have to say, until the JavaScript thread takes it.
  struct Inbox {
    std::vector<CoverageReport> reports;
    std::vector<Error> fatal_errors;
  };

  Napi::Value SetRuleset(const Napi::CallbackInfo& info);
  Napi::Value SetWorkloads(const Napi::CallbackInfo& info);
  Napi::Value Drain(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value Release(const Napi::CallbackInfo& info);
  Napi::Value CoveredFiles(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void StartThreads(Napi::Env env, const Napi::Object& options);
  // JavaScript ends without close().
  void Abandon();
  Napi::Object StatsNow(Napi::Env env);
  // Of both rings together.
  Napi::Object RingCounts(Napi::Env env) const;
  // False: coverage waits for a file that nobody may ever give it. It is left, with all that it
  // uses, until the process ends.
  bool StopThreads();
  // After StopThreads was true. Both are idempotent and need no JavaScript.
  void CloseGroup();
  void Deliver(Napi::Env env);
  void DeliverReport(Napi::Env env, const CoverageReport& report);
  using Pending = std::map<uint64_t, Napi::Promise::Deferred>;
  // Those of a number below `before`.
  static void Reject(Pending& pending, uint64_t before, const Napi::Error& error);
  void Call(const Napi::FunctionReference& function, std::initializer_list<napi_value> arguments);
  template <typename T>
  void Post(std::vector<T> Inbox::*list, const T& message);

  // JavaScript thread only.
  Napi::FunctionReference on_wake_;
  Napi::FunctionReference on_coverage_;
  Napi::FunctionReference on_fatal_;
  Pending rulesets_;   // setRuleset, by version
  Pending workloads_;  // setWorkloads, by serial
  uint64_t last_version_ = 0;
  uint64_t last_serial_ = 0;
  bool closed_ = true;
  bool left_ = false;       // closed_, but StopThreads was false
  bool wake_told_ = false;  // onWake was called and nothing drained since
  QuietTotals quiet_;
  Napi::ObjectReference last_stats_;  // of a closed session
  Napi::Env::CleanupHook<void (*)(Session*), Session> cleanup_;

  std::unique_ptr<Wakeup> wakeup_;
  std::mutex inbox_mutex_;
  Inbox inbox_;  // guarded by inbox_mutex_

  // In the order in which each needs those before it; ended in the opposite order. After close()
  // the rings and coverage_ stay: drain has what was left, and a release under way still holds
  // coverage_.
  std::unique_ptr<EventRing> decision_ring_;
  std::unique_ptr<EventRing> coverage_ring_;
  std::unique_ptr<PermissionGroup> permission_group_;
  std::unique_ptr<ProcessTable> process_table_;
  std::unique_ptr<ProcessFeed> process_feed_;
  std::unique_ptr<DecisionThread> decision_thread_;
  std::unique_ptr<GuardianKeeper> guardian_;  // null: there is none
  std::unique_ptr<Coverage> coverage_;
};

}  // namespace fileward

#endif  // FILEWARD_ADDON_SESSION_H_
