// What the addon exports: the shape is `Native` in src/native/addon.ts, with `Session` and `layout`
// for load.ts.
#include <napi.h>

#include "native/addon/evaluator.h"
#include "native/addon/js_error.h"
#include "native/addon/layout.h"
#include "native/addon/report.h"
#include "native/addon/root_file_worker.h"
#include "native/addon/running_exe.h"
#include "native/addon/service.h"
#include "native/addon/session.h"
#include "native/coverage/coverage.h"
#include "native/kernel/features.h"

namespace fileward {
namespace {

Napi::Value Probe(const Napi::CallbackInfo& info) {
  return FeatureReport(info.Env(), ProbeKernelFeatures());
}

Napi::Value InspectCoverageOnDisk(const Napi::CallbackInfo& info) {
  const CoverageReport report = InspectCoverage(StringArgument(info, 0, "rulesetJson"));
  if (!report.error.empty()) throw CodedError(info.Env(), "ERR_FILEWARD_RULESET", report.error);
  return CoverageReportToJs(info.Env(), report);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  const auto export_function = [&](const char* name, auto* function) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  export_function("probe", &Probe);
  export_function("checkGlob", &CheckGlob);
  export_function("checkRegex", &CheckRegex);
  export_function("createEvaluator", &CreateEvaluator);
  export_function("inspectCoverage", &InspectCoverageOnDisk);
  export_function("sdNotify", &SdNotify);
  export_function("lockFile", &LockFile);
  export_function("peerCredentials", &PeerCredentials);
  export_function("exitNow", &ExitNow);
  export_function("exeNames", &ExeNamesOf);
  export_function("readFileOf", &ReadFileOf);
  export_function("openFileOf", &OpenFileOf);
  exports.Set("Session", Session::Define(env));
  exports.Set("failureNames", FailureNames(env));
  exports.Set("layout", EventLayout(env));
  exports.Set("coveredFilesLayout", CoveredFilesLayout(env));
  return exports;
}

}  // namespace
}  // namespace fileward

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return fileward::Init(env, exports);
}
NODE_API_MODULE(fileward, InitAddon)
