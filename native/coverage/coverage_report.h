// What `check` and `status` show of coverage.
#ifndef FILEWARD_COVERAGE_COVERAGE_REPORT_H_
#define FILEWARD_COVERAGE_COVERAGE_REPORT_H_

#include "native/coverage/app_files.h"
#include "native/coverage/coverage.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/plan.h"
#include "native/coverage/tree_walk.h"

namespace fileward {

// Everything but the marks, the version and the moved files. Cost: a look at every covered name.
CoverageReport BuildReport(const Plan& plan, DirectoryTable& table, const TreeWalk& walk,
                           const AppFiles& apps);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_COVERAGE_REPORT_H_
