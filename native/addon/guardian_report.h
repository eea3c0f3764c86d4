// What the guardian does and has done, as GuardianStats of src/native/addon.ts.
#ifndef FILEWARD_ADDON_GUARDIAN_REPORT_H_
#define FILEWARD_ADDON_GUARDIAN_REPORT_H_

#include <napi.h>

#include <optional>

#include "native/decision/verdict_journal.h"
#include "native/guardian/guardian_keeper.h"

namespace fileward {

// Nothing of undefined; else a TypeError that names the key.
std::optional<GuardianKeeper::Options> GuardianOptionsFrom(const Napi::Value& value);

Napi::Object GuardianStatsToJs(Napi::Env env, const GuardianKeeper::Stats& keeper,
                               const VerdictJournal& journal);

}  // namespace fileward

#endif  // FILEWARD_ADDON_GUARDIAN_REPORT_H_
