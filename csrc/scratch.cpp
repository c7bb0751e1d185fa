#include <cstdlib>
#include <new>

#include "contract.h"

namespace daart_fast {
namespace {

constexpr int kSlots = int(Slot::count);
constexpr int64_t kAlignment = 64;

// Grows, never shrinks, and is given back when its thread ends.
struct Slots {
    void* base[kSlots] = {};
    void* aligned[kSlots] = {};
    int64_t size[kSlots] = {};
    ~Slots() {
        for (void* p : base) std::free(p);
    }
};

thread_local Slots slots;

}  // namespace

void* scratch(Slot name, int64_t bytes) {
    const int slot = int(name);
    if (slots.size[slot] < bytes || !slots.base[slot]) {
        std::free(slots.base[slot]);
        slots.size[slot] = 0;
        slots.base[slot] = std::malloc(static_cast<size_t>(bytes + kAlignment));
        if (!slots.base[slot]) throw std::bad_alloc();
        const auto address = reinterpret_cast<uintptr_t>(slots.base[slot]);
        slots.aligned[slot] =
            reinterpret_cast<void*>((address + kAlignment - 1) / kAlignment * kAlignment);
        slots.size[slot] = bytes;
    }
    return slots.aligned[slot];
}

}  // namespace daart_fast
