// A set of operations, as `operations:` of a rule or an app entry holds it.
#ifndef FILEWARD_DECISION_OPERATIONS_H_
#define FILEWARD_DECISION_OPERATIONS_H_

#include <cstdint>
#include <initializer_list>

#include "native/event/event_record.h"

namespace fileward {

class Operations {
 public:
  constexpr Operations() = default;
  constexpr Operations(std::initializer_list<Operation> operations) {
    for (const Operation operation : operations) Add(operation);
  }

  constexpr void Add(Operation operation) { bits_ = static_cast<uint8_t>(bits_ | Bit(operation)); }
  constexpr void Add(Operations other) { bits_ = static_cast<uint8_t>(bits_ | other.bits_); }
  constexpr bool Has(Operation operation) const { return (bits_ & Bit(operation)) != 0; }
  constexpr bool HasAny(Operations other) const { return (bits_ & other.bits_) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const Operations&) const = default;

 private:
  static constexpr uint8_t Bit(Operation operation) {
    return static_cast<uint8_t>(1U << static_cast<unsigned>(operation));
  }
  uint8_t bits_ = 0;
};

// In the order in which equally strict judgements are preferred: a write says more than the read
// that came with it.
inline constexpr Operation kOperations[] = {Operation::kWrite, Operation::kRead, Operation::kExec};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OPERATIONS_H_
