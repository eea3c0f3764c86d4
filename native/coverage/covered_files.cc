#include "native/coverage/covered_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace fileward {
namespace {

template <typename T>
void AppendBytes(std::vector<std::byte>& bytes, const T* from, size_t length) {
  const auto* first = reinterpret_cast<const std::byte*>(from);
  bytes.insert(bytes.end(), first, first + length);
}

}  // namespace

void CoveredFiles::Add(std::string_view path, const FileStatus& status, uint32_t rule_index) {
  CoveredFileEntry entry;
  entry.ino = status.identity.ino;
  entry.birth_ns = status.birth_ns;
  entry.size = status.size;
  entry.mtime_ns = status.mtime_ns;
  entry.ctime_ns = status.ctime_ns;
  entry.mode = status.mode;
  entry.uid = status.uid;
  entry.gid = status.gid;
  entry.rule_index = rule_index;
  entry.dev = status.identity.dev;
  Append(entry, path);
}

void CoveredFiles::AddGone(std::string_view path) {
  CoveredFileEntry entry;
  entry.gone = 1;
  Append(entry, path);
}

void CoveredFiles::Append(CoveredFileEntry entry, std::string_view path) {
  entry.path_bytes = static_cast<uint32_t>(path.size());
  offsets_.push_back(bytes_.size());
  AppendBytes(bytes_, &entry, sizeof(entry));
  AppendBytes(bytes_, path.data(), path.size());
}

std::vector<std::byte> CoveredFiles::Encode() {
  const auto entry_at = [&](size_t offset) {
    CoveredFileEntry entry;
    std::memcpy(&entry, &bytes_[offset], sizeof(entry));
    return entry;
  };
  const auto path_at = [&](size_t offset) {
    return std::string_view(
        reinterpret_cast<const char*>(bytes_.data()) + offset + sizeof(CoveredFileEntry),
        entry_at(offset).path_bytes);
  };
  std::sort(offsets_.begin(), offsets_.end(), [&](size_t left, size_t right) {
    if (const int order = path_at(left).compare(path_at(right)); order != 0) return order < 0;
    const CoveredFileEntry first = entry_at(left);
    const CoveredFileEntry second = entry_at(right);
    if (S_ISREG(first.mode) != S_ISREG(second.mode)) return S_ISREG(first.mode);
    return first.ino < second.ino;
  });
  const auto same_path = [&](size_t left, size_t right) { return path_at(left) == path_at(right); };
  offsets_.erase(std::unique(offsets_.begin(), offsets_.end(), same_path), offsets_.end());
  if (offsets_.size() > kMaxCoveredFiles) {
    header_.left_out = static_cast<uint32_t>(offsets_.size() - kMaxCoveredFiles);
    offsets_.resize(kMaxCoveredFiles);
  }
  header_.count = static_cast<uint32_t>(offsets_.size());
  std::vector<std::byte> encoded;
  encoded.reserve(sizeof(header_) + bytes_.size());
  AppendBytes(encoded, &header_, sizeof(header_));
  for (const size_t offset : offsets_) {
    AppendBytes(encoded, &bytes_[offset], sizeof(CoveredFileEntry) + path_at(offset).size());
  }
  return encoded;
}

}  // namespace fileward
