// Owns everything that runs: the permission group, the decision thread and its watchdog, the
// guardian process, the process feed and its table, coverage with the notification group, and the
// two rings in which the decision thread (0) and coverage (1) leave event records. Starts them one
// on another, ends them in the opposite order; none outlives its session.
//
// Threads speak to JavaScript in two ways. Records lie in the rings until drain() copies them;
// reports and fatal errors lie in the inbox. Both then ask for the same payload-free wake-up, which
// JavaScript gets once until it drains. JavaScript speaks to threads through Coverage::Apply,
// SetWorkloads, Release and TakeCoveredFiles alone; a ruleset goes from there to the decision
// thread. Nothing here opens a file that a rule could cover or waits for JavaScript.
//
// close() ends the guardian first, which holds the group too, then coverage, which may wait for the
// decision thread, then that, which answers what is outstanding, then the group, whose end releases
// every opener. Coverage that doesn't end in time is left, and all else with it, until the process
// ends. Without close() the guardian decides what a death means.
// Long because JavaScript has this one object for all of it.
#include "native/addon/session.h"

#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "native/addon/covered_files_worker.h"
#include "native/addon/guardian_report.h"
#include "native/addon/js_error.h"
#include "native/addon/release_worker.h"
#include "native/addon/report.h"
#include "native/kernel/features.h"
#include "native/kernel/kernel_watchdog.h"

namespace fileward {
namespace {

constexpr napi_type_tag kSessionTag = {0x8b1f4e5a27d94c06, 0x9c3a6df0517e42b8};
// Some 40,000 records each: several seconds of a busy machine while JavaScript is held up.
constexpr size_t kRingBytes = 16 * 1024 * 1024;
// Half for each ring, and each half holds the longest record.
constexpr size_t kMinDrainBytes = 128 * 1024;
static_assert(kMinDrainBytes / 2 >= kMaxRecordBytes);

constexpr const char* kClosedCode = "ERR_FILEWARD_SESSION_CLOSED";
constexpr const char* kClosedMessage = "the session is closed";

Napi::FunctionReference FunctionAt(const Napi::Object& options, const char* key) {
  const Napi::Value value = options.Get(key);
  if (!value.IsFunction()) {
    throw Napi::TypeError::New(options.Env(), std::string(key) + " must be a function");
  }
  return Napi::Persistent(value.As<Napi::Function>());
}

uint64_t VersionArgument(const Napi::CallbackInfo& info, size_t index) {
  bool lossless = false;
  if (info.Length() > index && info[index].IsBigInt()) {
    const uint64_t version = info[index].As<Napi::BigInt>().Uint64Value(&lossless);
    if (lossless) return version;
  }
  throw Napi::TypeError::New(info.Env(), "version must be a bigint of 64 bits");
}

}  // namespace

Napi::Function Session::Define(Napi::Env env) {
  return DefineClass(
      env, "Session",
      {InstanceMethod<&Session::SetRuleset>("setRuleset"),
       InstanceMethod<&Session::SetWorkloads>("setWorkloads"),
       InstanceMethod<&Session::Drain>("drain"), InstanceMethod<&Session::Stats>("stats"),
       InstanceMethod<&Session::Release>("release"),
       InstanceMethod<&Session::CoveredFiles>("coveredFiles"),
       InstanceMethod<&Session::Close>("close")});
}

Session* Session::Unwrap(Napi::Object object) {
  if (!object.CheckTypeTag(&kSessionTag)) {
    throw Napi::TypeError::New(object.Env(), "this is no Session");
  }
  return ObjectWrap<Session>::Unwrap(object);
}

Session::Session(const Napi::CallbackInfo& info) : ObjectWrap<Session>(info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) {
    throw Napi::TypeError::New(env, "options must be an object");
  }
  const auto options = info[0].As<Napi::Object>();
  on_wake_ = FunctionAt(options, "onWake");
  on_coverage_ = FunctionAt(options, "onCoverage");
  on_fatal_ = FunctionAt(options, "onFatal");
  info.This().As<Napi::Object>().TypeTag(&kSessionTag);
  wakeup_ = std::make_unique<Wakeup>(env, [this](Napi::Env wake_env) { Deliver(wake_env); });
  StartThreads(env, options);
  closed_ = false;
  cleanup_ = env.AddCleanupHook(
      +[](Session* session) { session->Abandon(); }, this);
  Ref();
}

Session::~Session() {
  if (StopThreads()) {
    CloseGroup();
    return;
  }
  // The process ends: a session that was left is never collected.
  (void)coverage_.release();
  (void)guardian_.release();
  (void)decision_thread_.release();
  (void)process_feed_.release();
  (void)process_table_.release();
  (void)permission_group_.release();
  (void)coverage_ring_.release();
  (void)decision_ring_.release();
  (void)wakeup_.release();
}

void Session::StartThreads(Napi::Env env, const Napi::Object& options) {
  const auto wake = [this] { wakeup_->Send(); };
  const auto on_fatal = [this](const Error& error) { Post(&Inbox::fatal_errors, error); };
  decision_ring_ = std::make_unique<EventRing>(kRingBytes, wake);
  coverage_ring_ = std::make_unique<EventRing>(kRingBytes, wake);

  const KernelFeatures features = ProbeKernelFeatures();
  permission_group_ =
      std::make_unique<PermissionGroup>(ValueOrThrow(env, PermissionGroup::Open(features)));
  process_table_ = std::make_unique<ProcessTable>();
  // Without a feed every ancestry is unknown and says so; all else works.
  if (features.process_feed) {
    process_feed_ = ValueOrThrow(env, ProcessFeed::Start(*process_table_));
  }
  DecisionThread::Options decision_options;
  decision_options.collect_args = options.Get("collectArgs").ToBoolean();
  decision_options.on_fatal = on_fatal;
  decision_thread_ =
      ValueOrThrow(env, DecisionThread::Start(*permission_group_, *process_table_, *decision_ring_,
                                              std::move(decision_options)));
  UseKernelWatchdog();
  if (const auto guardian = GuardianOptionsFrom(options.Get("guardian"))) {
    guardian_ =
        ValueOrThrow(env, GuardianKeeper::Start(*permission_group_, decision_thread_->journal(),
                                                decision_thread_->wake_fd(), *guardian));
  }
  CoverageOptions coverage_options;
  coverage_options.moved = MovedFilesFrom(options.Get("moved"));
  coverage_options.followed_apps = FollowedAppsFrom(options.Get("followed_apps"));
  coverage_options.on_report = [this](const CoverageReport& report) {
    Post(&Inbox::reports, report);
  };
  coverage_options.on_fatal = on_fatal;
  coverage_ =
      ValueOrThrow(env, Coverage::Start(std::move(coverage_options), features, *permission_group_,
                                        *decision_thread_, *process_table_, *coverage_ring_));
}

// A rule may say that what can't be judged is denied: then openers are left to the decision thread
// until the process ends, and to the guardian from then on.
void Session::Abandon() {
  if (guardian_ != nullptr && decision_thread_->journal()->keep.load()) {
    left_ = true;
    return;
  }
  if (StopThreads()) CloseGroup();
}

bool Session::StopThreads() {
  if (left_) return false;
  if (guardian_ != nullptr) guardian_->Stop();
  if (coverage_ != nullptr && !coverage_->Stop()) return false;
  if (decision_thread_ != nullptr) decision_thread_->Stop();
  return true;
}

void Session::CloseGroup() {
  guardian_.reset();
  // Not only stopped: its watchdog thread lives as long as the object and uses the group.
  decision_thread_.reset();
  process_feed_.reset();
  permission_group_.reset();
  // Nobody is left to ask for a wake-up.
  if (wakeup_ != nullptr) wakeup_->Close();
}

template <typename T>
void Session::Post(std::vector<T> Inbox::*list, const T& message) {
  {
    const std::lock_guard lock(inbox_mutex_);
    (inbox_.*list).push_back(message);
  }
  wakeup_->Send();
}

void Session::Deliver(Napi::Env env) {
  // A callback may close the session; the object has to last until this returns.
  [[maybe_unused]] const Napi::Object self = Value();
  Inbox inbox;
  {
    const std::lock_guard lock(inbox_mutex_);
    std::swap(inbox, inbox_);
  }
  for (const CoverageReport& report : inbox.reports) DeliverReport(env, report);
  for (const Error& error : inbox.fatal_errors) {
    if (!closed_) Call(on_fatal_, {SystemError(env, error).Value()});
  }
  if (closed_ || std::exchange(wake_told_, true)) return;
  Call(on_wake_, {});
}

void Session::DeliverReport(Napi::Env env, const CoverageReport& report) {
  if (closed_) return;
  quiet_.Observe(decision_thread_->counters(), coverage_->counters());
  const uint64_t version = report.ruleset_version;
  Reject(rulesets_, version,
         CodedError(env, "ERR_FILEWARD_RULESET_SUPERSEDED", "a later ruleset took its place"));
  if (!report.error.empty()) {
    Reject(rulesets_, version + 1, CodedError(env, "ERR_FILEWARD_RULESET", report.error));
    return;
  }
  const Napi::Object object = CoverageReportToJs(env, report);
  const auto resolve_until = [&object](Pending& pending, uint64_t last) {
    while (!pending.empty() && pending.begin()->first <= last) {
      pending.extract(pending.begin()).mapped().Resolve(object);
    }
  };
  resolve_until(rulesets_, version);
  resolve_until(workloads_, report.workloads_serial);
  Call(on_coverage_, {object});
}

void Session::Reject(Pending& pending, uint64_t before, const Napi::Error& error) {
  while (!pending.empty() && pending.begin()->first < before) {
    pending.extract(pending.begin()).mapped().Reject(error.Value());
  }
}

void Session::Call(const Napi::FunctionReference& function,
                   std::initializer_list<napi_value> arguments) {
  try {
    function.Call(arguments);
  } catch (const Napi::Error& error) {
    // Uncaught, but what else waits is delivered.
    napi_fatal_exception(Env(), error.Value());
  }
}

Napi::Value Session::SetRuleset(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string json = StringArgument(info, 0, "json");
  const uint64_t version = VersionArgument(info, 1);
  std::vector<WorkloadSpec> workloads = WorkloadSpecsFrom(info[2]);
  const auto deferred = Napi::Promise::Deferred::New(env);
  if (closed_) {
    deferred.Reject(CodedError(env, kClosedCode, kClosedMessage).Value());
    return deferred.Promise();
  }
  if (version <= last_version_) {
    throw Napi::RangeError::New(env, "version must be greater than that of the ruleset before");
  }
  last_version_ = version;
  rulesets_.emplace(version, deferred);
  coverage_->Apply(std::move(json), version, std::move(workloads), ++last_serial_);
  return deferred.Promise();
}

Napi::Value Session::SetWorkloads(const Napi::CallbackInfo& info) {
  std::vector<WorkloadSpec> workloads = WorkloadSpecsFrom(info[0]);
  const auto deferred = Napi::Promise::Deferred::New(info.Env());
  if (closed_) {
    deferred.Reject(CodedError(info.Env(), kClosedCode, kClosedMessage).Value());
    return deferred.Promise();
  }
  workloads_.emplace(++last_serial_, deferred);
  coverage_->SetWorkloads(last_serial_, std::move(workloads));
  return deferred.Promise();
}

Napi::Value Session::Drain(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(info.Env(), "buffer must be a Uint8Array");
  }
  auto array = info[0].As<Napi::Uint8Array>();
  if (array.ByteLength() < kMinDrainBytes) {
    throw Napi::RangeError::New(info.Env(), "buffer must have 128 KiB at least");
  }
  wake_told_ = false;
  const std::span buffer(reinterpret_cast<std::byte*>(array.Data()), array.ByteLength());
  const size_t half = buffer.size() / 2 / alignof(EventHeader) * alignof(EventHeader);
  // Coverage's ring is read first and stands last: what caused a change (the judged open) was
  // published before it, so it is in the other ring by then and comes out ahead of it.
  const size_t changes = coverage_ring_->Drain(buffer.subspan(half));
  const size_t opens = decision_ring_->Drain(buffer.first(half));
  std::memmove(buffer.data() + opens, buffer.data() + half, changes);
  return Napi::Number::New(info.Env(), static_cast<double>(opens + changes));
}

Napi::Value Session::Stats(const Napi::CallbackInfo& info) {
  if (!closed_) return StatsNow(info.Env());
  // What was left in the rings is drained after the close.
  Napi::Object stats = last_stats_.Value();
  stats.Set("ring", RingCounts(info.Env()));
  return stats;
}

Napi::Object Session::RingCounts(Napi::Env env) const {
  EventRing::Counts sum;
  for (const EventRing* ring : {decision_ring_.get(), coverage_ring_.get()}) {
    const EventRing::Counts counts = ring->counts();
    sum.published += counts.published;
    sum.drained += counts.drained;
    sum.dropped += counts.dropped;
  }
  return RingCountsToJs(env, sum);
}

Napi::Object Session::StatsNow(Napi::Env env) {
  quiet_.Observe(decision_thread_->counters(), coverage_->counters());
  const Coverage::MarkCounts marks = coverage_->marks();
  Napi::Object stats = Napi::Object::New(env);
  stats.Set("quiet", quiet_.ToJs(env));
  stats.Set("verdicts", VerdictHistograms(env, decision_thread_->stats()));
  stats.Set("failures", FailureCounts(env));
  stats.Set("marks", MarkCountsToJs(env, marks.permission, marks.notification));
  stats.Set("ring", RingCounts(env));
  stats.Set("notification", NotificationCountsToJs(env, coverage_->events()));
  if (guardian_ != nullptr) {
    stats.Set("guardian", GuardianStatsToJs(env, guardian_->stats(), *decision_thread_->journal()));
  }
  return stats;
}

Napi::Value Session::Release(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string path = StringArgument(info, 0, "path");
  if (closed_) {
    const auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(CodedError(env, kClosedCode, kClosedMessage).Value());
    return deferred.Promise();
  }
  // Deletes itself when it has run.
  auto* const worker = new ReleaseWorker(env, Value(), *coverage_, std::move(path));
  worker->Queue();
  return worker->promise();
}

Napi::Value Session::CoveredFiles(const Napi::CallbackInfo& info) {
  if (left_) {
    const auto deferred = Napi::Promise::Deferred::New(info.Env());
    deferred.Reject(CodedError(info.Env(), kClosedCode, kClosedMessage).Value());
    return deferred.Promise();
  }
  auto* const worker = new CoveredFilesWorker(info.Env(), Value(), *coverage_);
  worker->Queue();
  return worker->promise();
}

Napi::Value Session::Close(const Napi::CallbackInfo& info) {
  if (std::exchange(closed_, true)) return Napi::Boolean::New(info.Env(), !left_);
  left_ = !StopThreads();
  last_stats_ = Napi::Persistent(StatsNow(info.Env()));
  if (!left_) CloseGroup();
  const Napi::Error closed = CodedError(info.Env(), kClosedCode, kClosedMessage);
  for (Pending* const pending : {&rulesets_, &workloads_}) {
    Reject(*pending, std::numeric_limits<uint64_t>::max(), closed);
  }
  if (!left_) {
    cleanup_.Remove(info.Env());
    Unref();
  }
  return Napi::Boolean::New(info.Env(), !left_);
}

}  // namespace fileward
