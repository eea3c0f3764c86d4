// The layouts of event records and of covered files as objects for JavaScript, which compares them
// with its own.
#ifndef FILEWARD_ADDON_LAYOUT_H_
#define FILEWARD_ADDON_LAYOUT_H_

#include <napi.h>

namespace fileward {

// The shape of `EventLayout` in src/native/event-layout.ts.
Napi::Object EventLayout(Napi::Env env);
// The shape of `CoveredFilesLayout` in src/native/covered-files.ts.
Napi::Object CoveredFilesLayout(Napi::Env env);

}  // namespace fileward

#endif  // FILEWARD_ADDON_LAYOUT_H_
