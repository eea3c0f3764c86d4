// SHA-256 of a file (FIPS 180-4). Written out here because Node exports the symbols of its own
// OpenSSL: an addon that links Debian's would be compiled against one library and run with the
// other.
#ifndef FILEWARD_COVERAGE_SHA256_H_
#define FILEWARD_COVERAGE_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace fileward {

class Sha256 {
 public:
  void Update(std::span<const uint8_t> bytes);
  // Lower-case hex. Nothing may follow.
  std::string Finish();

 private:
  void Block(const uint8_t* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_{};
  size_t pending_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

// Of what is left to be read; empty when it can't be, or is more than `max_bytes`.
std::string Sha256OfFile(int fd, uint64_t max_bytes = UINT64_MAX);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_SHA256_H_
