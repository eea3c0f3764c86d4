// exeNames: what a look at a running executable tells, without waiting for its filesystem.
#ifndef FILEWARD_ADDON_RUNNING_EXE_H_
#define FILEWARD_ADDON_RUNNING_EXE_H_

#include <napi.h>

namespace fileward {

// exeNames(pid): how many names its file has, 0 when it was deleted or replaced; null: it has gone.
Napi::Value ExeNamesOf(const Napi::CallbackInfo& info);

}  // namespace fileward

#endif  // FILEWARD_ADDON_RUNNING_EXE_H_
