#include "native/event/event_record.h"

#include <algorithm>
#include <cstring>

namespace fileward {
namespace {

constexpr std::array<size_t, kEventStringCount> kCapacity = {
    kMaxPathBytes, kMaxPathBytes,      kMaxPathBytes, kMaxPathBytes,
    kMaxPathBytes, kMaxAncestorsBytes, kMaxArgsBytes, kMaxTextBytes,
};

constexpr size_t SlotOffset(size_t index) {
  size_t offset = 0;
  for (size_t i = 0; i < index; ++i) offset += kCapacity[i];
  return offset;
}

}  // namespace

RecordWriter::RecordWriter()
    : strings_(new std::byte[SlotOffset(kEventStringCount)]),
      record_(new std::byte[kMaxRecordBytes]) {}

EventHeader& RecordWriter::Begin(EventKind kind) {
  header_ = EventHeader{};
  header_.kind = kind;
  return header_;
}

void RecordWriter::Set(EventString string, std::string_view value) {
  const auto index = static_cast<size_t>(string);
  const size_t length = std::min(value.size(), kCapacity[index]);
  if (length > 0) std::memcpy(&strings_[SlotOffset(index)], value.data(), length);
  header_.lengths[index] = static_cast<uint32_t>(length);
}

void RecordWriter::SetAncestors(std::span<const std::string> ancestors) {
  constexpr auto kIndex = static_cast<size_t>(EventString::kAncestors);
  std::byte* const slot = &strings_[SlotOffset(kIndex)];
  size_t length = 0;
  for (const std::string& path : ancestors.first(std::min(ancestors.size(), kMaxRecordAncestors))) {
    if (length > 0) slot[length++] = std::byte{0};
    const size_t bytes = std::min(path.size(), kMaxPathBytes);
    std::memcpy(slot + length, path.data(), bytes);
    length += bytes;
  }
  header_.lengths[kIndex] = static_cast<uint32_t>(length);
}

std::span<const std::byte> RecordWriter::Finish() {
  size_t size = kEventHeaderBytes;
  for (size_t i = 0; i < kEventStringCount; ++i) {
    std::memcpy(&record_[size], &strings_[SlotOffset(i)], header_.lengths[i]);
    size += header_.lengths[i];
  }
  while (size % 8 != 0) record_[size++] = std::byte{0};
  header_.size_bytes = static_cast<uint32_t>(size);
  std::memcpy(record_.get(), &header_, kEventHeaderBytes);
  return {record_.get(), size};
}

}  // namespace fileward
