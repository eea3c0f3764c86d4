// The layout of event records as an object for JavaScript, which compares it with its own.
#ifndef FILEWARD_ADDON_LAYOUT_H_
#define FILEWARD_ADDON_LAYOUT_H_

#include <napi.h>

namespace fileward {

// The shape of `EventLayout` in src/native/event-layout.ts.
Napi::Object EventLayout(Napi::Env env);

}  // namespace fileward

#endif  // FILEWARD_ADDON_LAYOUT_H_
