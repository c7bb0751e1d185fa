// Passes over memory without a convolution in them.
#include "../contract.h"
#include "epilogue.h"
#include "parallel.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

// Below this many elements a second thread costs more than it brings.
constexpr int64_t kWorthAThread = 8192;

template <typename T>
void times_derivative_of(int64_t count, const T* dy, const T* y, Activation activation, T* g,
                         int threads) {
    using V = Vec<T>;
    parallel(useful_threads(count, kWorthAThread, threads), [&](const Team& team) {
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

template <typename T>
void gradient_gates(int64_t batch, int64_t frames, int64_t channels, const T* dy, const T* y,
                    Activation activation, T* g, int64_t g_skip, const Epilogue<T>& epilogue,
                    T* out, int threads) {
    using V = Vec<T>;
    threads = useful_threads(batch * frames * channels, kWorthAThread, threads);
    parallel(threads, [&](const Team& team) {
        int64_t first, last;
        team.share(batch * frames, first, last);
        while (first < last) {
            const int64_t b = first / frames;
            const int64_t end = (b + 1) * frames < last ? (b + 1) * frames : last;
            for (int64_t c = 0; c < channels; c += V::size) {
                const Finish<T> finish(epilogue, b, channels, c);
                for (int64_t t = first; t < end; t++) {
                    const int64_t at = t * channels + c;
                    const auto value =
                        times_derivative<T>(V::load_n(dy + at, finish.lanes()),
                                            V::load_n(y + at, finish.lanes()), activation);
                    V::store_n(g + at + b * g_skip, value, finish.lanes());
                    finish(value, out + at, at);
                }
            }
            first = end;
        }
    });
}

template <typename T>
T sum_of(typename Vec<T>::type v) {
    T lane[Vec<T>::size], sum = 0;
    Vec<T>::store(lane, v);
    for (T value : lane) sum += value;
    return sum;
}

template <typename T>
T dot(int64_t n, const T* a, const T* b) {
    using V = Vec<T>;
    auto sum = V::zero();
    int64_t i = 0;
    for (; i + V::size <= n; i += V::size) sum = V::fma(V::load(a + i), V::load(b + i), sum);
    sum = V::fma(V::load_n(a + i, int(n - i)), V::load_n(b + i, int(n - i)), sum);
    return sum_of<T>(sum);
}

template <typename T>
void normalise(int64_t rows, int64_t size, const T* v, const T* gain, T* weight, T* norm) {
    for (int64_t r = 0; r < rows; r++, v += size, weight += size) {
        norm[r] = std::sqrt(dot(size, v, v));
        const T factor = gain[r] / norm[r];
        for (int64_t i = 0; i < size; i++) weight[i] = v[i] * factor;
    }
}

template <typename T>
void normalise_grad(int64_t rows, int64_t size, const T* v, const T* gain, const T* norm,
                    const T* dweight, T* dv, T* dgain) {
    for (int64_t r = 0; r < rows; r++, v += size, dweight += size, dv += size) {
        dgain[r] = dot(size, dweight, v) / norm[r];
        const T factor = gain[r] / norm[r], along = dgain[r] / norm[r];
        for (int64_t i = 0; i < size; i++) dv[i] = factor * (dweight[i] - along * v[i]);
    }
}

template <typename T>
constexpr ElementwiseKernels<T> all_of() {
    return {times_derivative_of<T>, gradient_gates<T>, normalise<T>, normalise_grad<T>};
}

}  // namespace

void fill_elementwise(Kernels& table) {
    table.elementwise32 = all_of<float>();
    table.elementwise64 = all_of<double>();
}

}  // namespace daart_fast::DAART_FAST_ISA
