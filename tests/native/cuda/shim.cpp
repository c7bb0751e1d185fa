#include "shim.h"

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
#endif

namespace shim {

Index thread_index{}, block_index{};
Turns turns = Turns::ascending;
int launches = 0;

namespace {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 128 * 1024;

// What a fibre waits for: that a generation of the block's or of its warp's barrier is over.
struct Barrier {
    int arrived = 0;
    uint64_t generation = 0;
};
using Jump = void* [5];  // of __builtin_setjmp

struct Fibre {
    ucontext_t context;  // where it starts
    Jump jump;           // where it goes on
    std::unique_ptr<char[]> stack{new char[kStackBytes]};
    const Barrier* waits_for = nullptr;
    uint64_t generation = 0;
    bool started = false, finished = false;

    bool ready() const { return !finished && (!waits_for || waits_for->generation != generation); }
};
struct Warp {
    Barrier barrier;
    const char* what = nullptr;
    void* lanes[kWarp];
};

std::vector<Fibre> fibres;
std::vector<Warp> warps;
Barrier block_barrier;
Jump scheduler;
const void* scheduler_stack;
size_t scheduler_size;
int thread_count, finished_count, current;
const std::function<void()>* kernel_now;
unsigned char* memory;

[[noreturn]] void fail(const char* sentence) {
    std::fprintf(stderr, "kernel error in block %u, thread %d: %s\n", block_index.x, current,
                 sentence);
    std::abort();
}

// The next fibre in turn that can run; -1 if there is none.
int next_ready() {
    const int step = turns == Turns::ascending ? 1 : thread_count - 1;
    for (int i = 1, at = current; i <= thread_count; i++) {
        at = (at + step) % thread_count;
        if (fibres[size_t(at)].ready()) return at;
    }
    return -1;
}

// Goes on with a fibre, and returns when somebody goes on with this one. Not by swapcontext, which
// calls the kernel twice. AddressSanitizer must know of the change of stacks; it must not also take
// the jump for the end of all functions that are left.
__attribute__((no_sanitize("address"), noinline)) void enter(int number, Jump& from,
                                                             bool from_is_over) {
    Fibre& to = fibres[size_t(number)];
    current = number;
    thread_index.x = unsigned(number);
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(from_is_over ? nullptr : &fake, to.stack.get(), kStackBytes);
    if (__builtin_setjmp(from) == 0) {
        if (to.started) __builtin_longjmp(to.jump, 1);
        to.started = true;
        setcontext(&to.context);
    }
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}

__attribute__((no_sanitize("address"), noinline)) void leave_to_scheduler() {
    __sanitizer_start_switch_fiber(nullptr, scheduler_stack, scheduler_size);
    __builtin_longjmp(scheduler, 1);
}

void body() {
    if (!scheduler_stack) {
        __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
    } else {
        __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
    }
    (*kernel_now)();
    Fibre& self = fibres[size_t(current)];
    self.finished = true;
    finished_count++;
    if (block_barrier.arrived) fail("it ends while others wait at __syncthreads");
    const int next = next_ready();
    if (next >= 0) enter(next, self.jump, true);
    if (finished_count < thread_count) fail("it ends while others wait for their warp");
    leave_to_scheduler();
}

void wait(const Barrier& barrier, uint64_t generation) {
    const int number = current;
    Fibre& self = fibres[size_t(number)];
    self.waits_for = &barrier;
    self.generation = generation;
    while (!self.ready()) {
        const int next = next_ready();
        if (next < 0) fail("all threads wait, and not for the same thing");
        enter(next, self.jump, false);
    }
    self.waits_for = nullptr;
}

void start_fibre(Fibre& fibre) {
    fibre.started = fibre.finished = false;
    fibre.waits_for = nullptr;
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStackBytes;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, &body, 0);
}

float float_of(uint32_t bits) {
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}
uint32_t bits_of(float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
}

struct Lane {
    float* d;
    const uint32_t *a, *b;
};

// d += a b where element (row, k) of a and (k, column) of b are found by the given functions.
template <typename A, typename B>
void multiply_warp(void** lanes, int depth, const A& a, const B& b) {
    for (int row = 0; row < 16; row++) {
        for (int column = 0; column < 8; column++) {
            Lane& to = *static_cast<Lane*>(lanes[row % 8 * 4 + column / 2]);
            float& sum = to.d[row / 8 * 2 + column % 2];
            for (int k = 0; k < depth; k++) sum = std::fma(a(row, k), b(k, column), sum);
        }
    }
}

}  // namespace

unsigned char* shared_memory() {
    return memory;
}

void run(int64_t blocks, int threads, int shared_bytes, const std::function<void()>& kernel) {
    if (blocks == 0) return;
    launches++;
    kernel_now = &kernel;
    thread_count = threads;
    fibres.resize(size_t(threads));
    for (int64_t block = 0; block < blocks; block++) {
        const std::unique_ptr<unsigned char[]> shared(new unsigned char[size_t(shared_bytes)]);
        std::memset(shared.get(), 0xff, size_t(shared_bytes));
        memory = shared.get();
        block_index.x = unsigned(block);
        warps.assign(size_t(threads / kWarp), {});
        block_barrier = {};
        finished_count = 0;
        for (Fibre& fibre : fibres) start_fibre(fibre);
        enter(turns == Turns::ascending ? 0 : threads - 1, scheduler, false);
    }
}

void wait_for_block() {
    const uint64_t generation = block_barrier.generation;
    if (++block_barrier.arrived < thread_count) return wait(block_barrier, generation);
    block_barrier.arrived = 0;
    block_barrier.generation++;
}

void wait_for_warp(const char* what, void* value, void (*all)(void**)) {
    Warp& warp = warps[size_t(current / kWarp)];
    if (warp.barrier.arrived && warp.what != what) fail("its warp is at another operation");
    warp.what = what;
    warp.lanes[current % kWarp] = value;
    const uint64_t generation = warp.barrier.generation;
    if (++warp.barrier.arrived < kWarp) return wait(warp.barrier, generation);
    all(warp.lanes);
    warp.barrier.arrived = 0;
    warp.barrier.generation++;
}

float tf32(float v) {
    if (!std::isfinite(v)) return v;
    return float_of((bits_of(v) + 0x1000u) & 0xffffe000u);
}

uint16_t bfloat16_bits(float v) {
    const uint32_t bits = bits_of(v);
    if (std::isnan(v)) return 0x7fff;
    return uint16_t((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

// The tensor cores don't see the bits below tf32's.
void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    Lane mine{d, a, b};
    wait_for_warp("tf32 product", &mine, [](void** lanes) {
        multiply_warp(
            lanes, 8,
            [&](int row, int k) {
                const auto& lane = *static_cast<Lane*>(lanes[row % 8 * 4 + k % 4]);
                return float_of(lane.a[k / 4 * 2 + row / 8] & 0xffffe000u);
            },
            [&](int k, int column) {
                const auto& lane = *static_cast<Lane*>(lanes[column * 4 + k % 4]);
                return float_of(lane.b[k / 4] & 0xffffe000u);
            });
    });
}

// Two numbers in a register, the earlier in the lower half.
void multiply_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    Lane mine{d, a, b};
    wait_for_warp("bfloat16 product", &mine, [](void** lanes) {
        const auto half = [](uint32_t pair, int k) {
            return float_of(k % 2 ? pair & 0xffff0000u : pair << 16);
        };
        multiply_warp(
            lanes, 16,
            [&](int row, int k) {
                const auto& lane = *static_cast<Lane*>(lanes[row % 8 * 4 + k % 8 / 2]);
                return half(lane.a[k / 8 * 2 + row / 8], k);
            },
            [&](int k, int column) {
                const auto& lane = *static_cast<Lane*>(lanes[column * 4 + k % 8 / 2]);
                return half(lane.b[k / 8], k);
            });
    });
}

}  // namespace shim
