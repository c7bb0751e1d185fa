// A team of threads, and how work is cut among them. Without OpenMP a team is one thread.
#pragma once

#include <cstdint>
#include <new>

#include "vec.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace daart_fast::DAART_FAST_ISA {
namespace {

struct Team {
    int rank, size;

    // Every member must reach it.
    void barrier() const {
#ifdef _OPENMP
        if (size > 1) {
#pragma omp barrier
        }
#endif
    }

    // This member's part [first, last) of n items, contiguous and as even as can be.
    void share(int64_t n, int64_t& first, int64_t& last) const {
        first = n * rank / size;
        last = n * (rank + 1) / size;
    }
};

// As many threads as `count` items of work are worth, where a thread should have at least `least`.
inline int useful_threads(int64_t count, int64_t least, int threads) {
    const int64_t most = count / least + 1;
    return most < threads ? int(most) : threads;
}

// Calls work(team) on each of `threads` threads; with 1, here and now, without a parallel region.
// work must not throw while others wait at a barrier: take scratch memory before it begins.
template <typename Work>
void parallel(int threads, const Work& work) {
#ifdef _OPENMP
    if (threads > 1) {
        bool out_of_memory = false;
#pragma omp parallel num_threads(threads)
        {
            try {
                work(Team{omp_get_thread_num(), omp_get_num_threads()});
            } catch (const std::bad_alloc&) {
#pragma omp atomic write
                out_of_memory = true;
            }
        }
        if (out_of_memory) throw std::bad_alloc();
        return;
    }
#endif
    (void)threads;
    work(Team{0, 1});
}

}  // namespace
}  // namespace daart_fast::DAART_FAST_ISA
