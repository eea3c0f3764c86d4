// What the core reports, as objects of the shapes in src/native/addon.ts.
#ifndef FILEWARD_ADDON_REPORT_H_
#define FILEWARD_ADDON_REPORT_H_

#include <napi.h>

#include <vector>

#include "native/coverage/coverage.h"
#include "native/decision/verdict_stats.h"
#include "native/event/event_ring.h"
#include "native/kernel/features.h"

namespace fileward {

Napi::Object FeatureReport(Napi::Env env, const KernelFeatures& features);
Napi::Object CoverageReportToJs(Napi::Env env, const CoverageReport& report);
Napi::Object MarkCountsToJs(Napi::Env env, uint64_t permission, uint64_t notification);

// Both lists come back from an earlier report: numbers are decimal strings, since 64 bits don't fit
// a JSON number. Anything else is a TypeError that names the key.
std::vector<MovedFile> MovedFilesFrom(const Napi::Value& value);
std::vector<FollowedApp> FollowedAppsFrom(const Napi::Value& value);

// An array of containers, each with a number, a process and its cgroup; else a TypeError that names
// the key.
std::vector<WorkloadSpec> WorkloadSpecsFrom(const Napi::Value& value);

Napi::Object RingCountsToJs(Napi::Env env, const EventRing::Counts& counts);
Napi::Object NotificationCountsToJs(Napi::Env env, const Coverage::EventCounts& counts);

// Names of all failure reasons, by index.
Napi::Array FailureNames(Napi::Env env);
Napi::Object FailureCounts(Napi::Env env);
Napi::Object HistogramToJs(Napi::Env env, const VerdictHistogram& histogram);
Napi::Object VerdictHistograms(Napi::Env env, const VerdictStats& stats);

}  // namespace fileward

#endif  // FILEWARD_ADDON_REPORT_H_
