// A step of Adam with amsgrad (Kingma and Ba 2015; Reddi et al. 2018) in one pass over each tensor,
// in the order of operations of torch's own.
#include "../contract.h"
#include "parallel.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

using V = Vec<float>;
using R = V::type;

// Below this many elements a second thread costs more than it brings.
constexpr int64_t kWorthAThread = 8192;

// What is the same for all elements of a tensor.
struct Factors {
    R weight_decay, toward_gradient, beta2, toward_square, to_root, epsilon, rate;

    Factors(const AdamSettings& s, double step) {
        const double left1 = 1 - std::pow(s.beta1, step), left2 = 1 - std::pow(s.beta2, step);
        weight_decay = V::set(float(s.weight_decay));
        toward_gradient = V::set(float(1 - s.beta1));
        beta2 = V::set(float(s.beta2));
        toward_square = V::set(float(1 - s.beta2));
        to_root = V::set(float(1 / std::sqrt(left2)));
        epsilon = V::set(float(s.epsilon));
        rate = V::set(float(s.rate / left1));
    }
};

void update(const AdamTensor<float>& t, const Factors& f, int64_t i, int n) {
    const R parameter = V::load_n(t.parameter + i, n);
    const R gradient = V::fma(parameter, f.weight_decay, V::load_n(t.gradient + i, n));
    R mean = V::load_n(t.mean + i, n);
    mean = V::fma(f.toward_gradient, V::sub(gradient, mean), mean);
    R square = V::mul(V::load_n(t.square + i, n), f.beta2);
    square = V::fma(V::mul(f.toward_square, gradient), gradient, square);
    // max(a, b) is b where either is NaN, so a NaN of this step stays
    const R largest = V::max(V::load_n(t.largest_square + i, n), square);
    const R root = V::fma(V::sqrt(largest), f.to_root, f.epsilon);
    V::store_n(t.mean + i, mean, n);
    V::store_n(t.square + i, square, n);
    V::store_n(t.largest_square + i, largest, n);
    V::store_n(t.parameter + i, V::fnma(f.rate, V::div(mean, root), parameter), n);
}

void adam(const AdamTensor<float>* tensors, int64_t n_tensors, const AdamSettings& settings,
          int threads) {
    int64_t total = 0;
    for (int64_t i = 0; i < n_tensors; i++) {
        *tensors[i].step += 1;
        total += tensors[i].count;
    }
    parallel(useful_threads(total, kWorthAThread, threads), [&](const Team& team) {
        int64_t first, last, start = 0;
        team.share(total, first, last);
        for (int64_t i = 0; i < n_tensors; start += tensors[i].count, i++) {
            const AdamTensor<float>& t = tensors[i];
            const int64_t from = first > start ? first - start : 0;
            const int64_t to = last - start < t.count ? last - start : t.count;
            if (from >= to) continue;
            const Factors factors(settings, double(*t.step));
            int64_t at = from;
            for (; at + V::size <= to; at += V::size) update(t, factors, at, V::size);
            if (at < to) update(t, factors, at, int(to - at));
        }
    });
}

}  // namespace

void fill_adam(Kernels& table) {
    table.adam32 = adam;
}

}  // namespace daart_fast::DAART_FAST_ISA
