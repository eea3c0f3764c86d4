#ifndef FILEWARD_BASE_WORKLOAD_H_
#define FILEWARD_BASE_WORKLOAD_H_

#include <cstdint>

namespace fileward {

// The host, or one container: given by TypeScript, never given twice while the agent runs.
using WorkloadId = uint32_t;
inline constexpr WorkloadId kHostWorkload = 0;
inline constexpr WorkloadId kUnknownWorkload = 0xffffffffU;

}  // namespace fileward

#endif  // FILEWARD_BASE_WORKLOAD_H_
