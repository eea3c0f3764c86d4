// readFileOf and openFileOf: files of another process' root, off the JavaScript thread.
#ifndef FILEWARD_ADDON_ROOT_FILE_WORKER_H_
#define FILEWARD_ADDON_ROOT_FILE_WORKER_H_

#include <napi.h>

namespace fileward {

Napi::Value ReadFileOf(const Napi::CallbackInfo& info);
Napi::Value OpenFileOf(const Napi::CallbackInfo& info);

}  // namespace fileward

#endif  // FILEWARD_ADDON_ROOT_FILE_WORKER_H_
