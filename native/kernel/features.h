#ifndef FILEWARD_KERNEL_FEATURES_H_
#define FILEWARD_KERNEL_FEATURES_H_

#include <string>
#include <vector>

namespace fileward {

// One line of `fileward doctor`.
struct FeatureLine {
  std::string name;  // the field's below, and what FILEWARD_WITHOUT takes
  bool available = false;
  std::string detail;  // what it is for; when it is missing, also why
};

// What this kernel and our privileges give, found by trying: versions lie, distributions carry
// backports.
struct KernelFeatures {
  // The permission group.
  bool permission_events = false;  // a child that was denied got EPERM
  bool report_tid = false;         // events name the thread
  bool syscall_file = false;       // /proc/<tid>/syscall of a parked opener shows its call
  bool open_exec_perm = false;     // FAN_OPEN_EXEC_PERM
  bool fd_error = false;           // FAN_REPORT_FD_ERROR
  bool mark_ignore = false;        // FAN_MARK_IGNORE
  bool evictable = false;          // FAN_MARK_EVICTABLE
  bool pre_content = false;        // FAN_PRE_ACCESS; which filesystems have it shows when marking

  // The notification group.
  bool fid = false;              // FAN_REPORT_FID: create, delete, attributes, ... at all
  bool directory_names = false;  // FAN_REPORT_DFID_NAME: names in events
  bool target_fid = false;       // FAN_REPORT_TARGET_FID
  bool rename_event = false;     // FAN_RENAME: old and new name in one event
  bool pidfd = false;            // FAN_REPORT_PIDFD
  bool inotify = false;

  // Who and what.
  bool process_feed = false;    // proc connector
  bool process_exe = false;     // /proc/<pid>/exe of others
  bool open_by_handle = false;  // open_by_handle_at
  bool handle_fid = false;      // AT_HANDLE_FID: handles of filesystems that can't be exported
  bool mount_id = false;        // STATX_MNT_ID

  std::vector<FeatureLine> lines;                 // in the order doctor shows them
  std::vector<std::string> missing_capabilities;  // by name; empty when the agent can run

  bool can_enforce() const { return permission_events && report_tid && syscall_file; }
  bool can_watch() const { return directory_names || inotify; }
};

// Tries everything in a scratch directory that nobody else can reach; takes some milliseconds and
// one short-lived child. `FILEWARD_WITHOUT=pidfd,target_fid` (names as above) masks rungs, for
// tests of the ladder.
KernelFeatures ProbeKernelFeatures();

}  // namespace fileward

#endif  // FILEWARD_KERNEL_FEATURES_H_
