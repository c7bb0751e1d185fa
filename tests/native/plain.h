// What the native checks share: random numbers, and activations as plain mathematics.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <vector>

#include "../../csrc/contract.h"

namespace plain {

using daart_fast::Activation;

inline std::mt19937 engine(0);

inline int64_t pick(std::initializer_list<int64_t> from) {
    return from.begin()[engine() % from.size()];
}

template <typename T>
std::vector<T> random_vector(int64_t n, double size = 1) {
    std::normal_distribution<double> normal(0, size);
    std::vector<T> v(static_cast<std::size_t>(n));
    for (T& value : v) value = T(normal(engine));
    return v;
}

inline double activate(double v, Activation activation) {
    switch (activation) {
        case Activation::relu:
            return v > 0 ? v : 0;
        case Activation::lrelu:
            return v > 0 ? v : 0.05 * v;
        case Activation::sigmoid:
            return 1 / (1 + std::exp(-v));
        case Activation::tanh:
            return std::tanh(v);
        case Activation::silu:
            return v / (1 + std::exp(-v));
        default:
            return v;
    }
}

// What the derivative is a function of, where the activation is applied to v.
inline double gate_of(double v, Activation activation) {
    return daart_fast::of_output(activation) ? activate(v, activation) : v;
}

// At a gate, which is the activation's output y but for silu.
inline double derivative(double y, Activation activation) {
    const double sigmoid = 1 / (1 + std::exp(-y));
    switch (activation) {
        case Activation::relu:
            return y > 0 ? 1 : 0;
        case Activation::lrelu:
            return y > 0 ? 1 : 0.05;
        case Activation::sigmoid:
            return y * (1 - y);
        case Activation::tanh:
            return 1 - y * y;
        case Activation::silu:
            return sigmoid * (1 + y * (1 - sigmoid));
        default:
            return 1;
    }
}

}  // namespace plain
