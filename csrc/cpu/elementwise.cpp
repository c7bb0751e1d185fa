// Passes over memory without a convolution in them.
#include "../contract.h"
#include "epilogue.h"
#include "parallel.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

// Below this many elements a second thread costs more than it brings.
constexpr int64_t kWorthAThread = 32768;

int useful_threads(int64_t count, int threads) {
    const int64_t most = count / kWorthAThread + 1;
    return most < threads ? int(most) : threads;
}

template <typename T>
void times_derivative_of(int64_t count, const T* dy, const T* y, Activation activation, T* g,
                         int threads) {
    using V = Vec<T>;
    parallel(useful_threads(count, threads), [&](const Team& team) {
        int64_t first, last;
        team.share(count, first, last);
        int64_t i = first;
        for (; i + V::size <= last; i += V::size) {
            V::store(g + i, times_derivative<T>(V::load(dy + i), V::load(y + i), activation));
        }
        const int n = int(last - i);
        V::store_n(g + i,
                   times_derivative<T>(V::load_n(dy + i, n), V::load_n(y + i, n), activation), n);
    });
}

}  // namespace

void fill_elementwise(Kernels& table) {
    table.elementwise32.times_derivative = times_derivative_of<float>;
    table.elementwise64.times_derivative = times_derivative_of<double>;
}

}  // namespace daart_fast::DAART_FAST_ISA
