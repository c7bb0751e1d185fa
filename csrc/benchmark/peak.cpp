// How many multiply-adds this instruction set sustains out of registers: what benchmarks measure
// kernels against.
#include <chrono>

#include "../contract.h"
#include "../cpu/parallel.h"
#include "../cpu/vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Enough chains to hide the latency of two units with four cycles each, few enough for the
// sixteen registers of AVX2.
constexpr int kChains = 10, kRounds = 4096;

// A sink the compiler cannot see through, so that the loop stays; each thread has its own.
thread_local volatile float sink;

void burn() {
    using V = Vec<float>;
    V::type a[kChains];
    const V::type x = V::set(0.999f), y = V::set(0.001f);
    DAART_FAST_UNROLL
    for (int i = 0; i < kChains; i++) a[i] = V::set(0.1f * float(i));
    for (int round = 0; round < kRounds; round++) {
        DAART_FAST_UNROLL
        for (int i = 0; i < kChains; i++) a[i] = V::fma(a[i], x, y);
    }
    V::type sum = a[0];
    DAART_FAST_UNROLL
    for (int i = 1; i < kChains; i++) sum = V::add(sum, a[i]);
    float lane[V::size];
    V::store(lane, sum);
    sink = lane[0];
}

// The best of many short rounds, all threads starting together.
double fma_rate(int threads, double seconds) {
    double best = 0.0;
    const double end = seconds_now() + seconds;
    constexpr int kRepeats = 16;
    while (seconds_now() < end) {
        double elapsed = 0.0;
        parallel(threads, [&](const Team& team) {
            burn();
            team.barrier();
            const double start = seconds_now();
            for (int i = 0; i < kRepeats; i++) burn();
            team.barrier();
            if (team.rank == 0) elapsed = seconds_now() - start;
        });
        const double rate =
            double(threads) * kRepeats * kRounds * kChains * Vec<float>::size / elapsed;
        if (rate > best) best = rate;
    }
    return best;
}

}  // namespace

void fill_peak(Kernels& table) {
    table.fma_rate = fma_rate;
}

}  // namespace daart_fast::DAART_FAST_ISA
