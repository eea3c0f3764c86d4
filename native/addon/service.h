// Services of the machine that Node has no call for: the service manager's notify socket, file
// locks, who is at the other end of a socket, and an end that waits for nobody.
#ifndef FILEWARD_ADDON_SERVICE_H_
#define FILEWARD_ADDON_SERVICE_H_

#include <napi.h>

namespace fileward {

// sdNotify(message: string): boolean
Napi::Value SdNotify(const Napi::CallbackInfo& info);

// lockFile(path: string): boolean
Napi::Value LockFile(const Napi::CallbackInfo& info);

// peerCredentials(fd: number): { pid: number, uid: number, gid: number }
Napi::Value PeerCredentials(const Napi::CallbackInfo& info);

// exitNow(status: number): never
Napi::Value ExitNow(const Napi::CallbackInfo& info);

}  // namespace fileward

#endif  // FILEWARD_ADDON_SERVICE_H_
