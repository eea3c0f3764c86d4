// What tells one set of extended attributes (ACLs, capabilities and labels among them) from
// another.
#ifndef FILEWARD_COVERAGE_EXTENDED_ATTRIBUTES_H_
#define FILEWARD_COVERAGE_EXTENDED_ATTRIBUTES_H_

#include <cstdint>
#include <optional>

namespace fileward {

// A hash of all names and values of `name` in `dirfd`, a link itself; of `dirfd`, which may be
// O_PATH, where `name` is empty. 0: it has none. Nothing when they can't be read, or are more than
// 64 KiB.
std::optional<uint64_t> ExtendedAttributesAt(int dirfd, const char* name);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_EXTENDED_ATTRIBUTES_H_
