// Activations and their derivatives on whole registers, and Finish: what happens to a convolution's
// result on its way to memory (contract.h, Epilogue).
#pragma once

#include <cmath>
#include <cstring>

#include "../contract.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

// exp for one lane, without branches so that a loop over lanes becomes vector code. Argument
// reduction by log 2 in two parts and a polynomial of degree 6 on [-log2/2, log2/2]; relative error
// 2e-7. Saturates instead of overflowing: the callers only need 1 / (1 + exp(x)).
DAART_FAST_INLINE float exp_lane(float x) {
    x = x > 87.0f ? 87.0f : x;
    x = x < -87.0f ? -87.0f : x;
    const float scaled = x * 1.44269504f;
    const int32_t n = static_cast<int32_t>(scaled + (scaled < 0.0f ? -0.5f : 0.5f));
    const float k = static_cast<float>(n);
    const float r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const int32_t bits = (n + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

DAART_FAST_INLINE float sigmoid_lane(float x) {
    return 1.0f / (1.0f + exp_lane(-x));
}
DAART_FAST_INLINE double sigmoid_lane(double x) {
    return 1.0 / (1.0 + std::exp(-x));
}

// Near zero the quotient would cancel, so a Taylor series takes over where it is exact to rounding.
DAART_FAST_INLINE float tanh_lane(float x) {
    const float z = x * x;
    const float series =
        x + x * z *
                (-1.0f / 3 + z * (2.0f / 15 + z * (-17.0f / 315 +
                                                   z * (62.0f / 2835 - z * (1382.0f / 155925)))));
    const float quotient = 1.0f - 2.0f / (1.0f + exp_lane(2.0f * x));
    return z < 0.09f ? series : quotient;
}
DAART_FAST_INLINE double tanh_lane(double x) {
    return std::tanh(x);
}

// A NaN stays one through all of these. What calls exp is not part of the code around it, which
// would be several times as large; nor is what keeps v, which only such activations ask for.
template <typename T>
DAART_FAST_NOINLINE typename Vec<T>::type curved(typename Vec<T>::type v, Activation activation,
                                                 T* before, int64_t at, int lanes) {
    using V = Vec<T>;
    if (before) V::store_n(before + at, v, lanes);
    T lane[V::size];
    V::store(lane, v);
    if (activation == Activation::sigmoid) {
        for (int i = 0; i < V::size; i++)
            lane[i] = lane[i] != lane[i] ? lane[i] : sigmoid_lane(lane[i]);
    } else if (activation == Activation::silu) {
        for (int i = 0; i < V::size; i++)
            lane[i] = lane[i] != lane[i] ? lane[i] : lane[i] * sigmoid_lane(lane[i]);
    } else {
        for (int i = 0; i < V::size; i++)
            lane[i] = lane[i] != lane[i] ? lane[i] : tanh_lane(lane[i]);
    }
    return V::load(lane);
}

// v times silu's derivative where it was applied to x.
template <typename T>
DAART_FAST_NOINLINE typename Vec<T>::type times_silu_derivative(typename Vec<T>::type v,
                                                                typename Vec<T>::type x) {
    using V = Vec<T>;
    T lane[V::size];
    V::store(lane, x);
    for (int i = 0; i < V::size; i++) {
        const T sigmoid = sigmoid_lane(lane[i]);
        const T slope = sigmoid * (T(1) + lane[i] * (T(1) - sigmoid));
        lane[i] = lane[i] != lane[i] ? lane[i] : slope;
    }
    return V::mul(v, V::load(lane));
}

// Keeps v at before[at] where that is not null, and the derivative a function of it.
template <typename T>
DAART_FAST_INLINE typename Vec<T>::type activate(typename Vec<T>::type v, Activation activation,
                                                 T* before, int64_t at, int lanes) {
    using V = Vec<T>;
    if (activation == Activation::linear) return v;
    if (activation == Activation::lrelu) {
        return V::select_positive(v, v, V::mul(v, V::set(T(kLeakySlope))));
    }
    if (activation == Activation::relu) return V::max(V::zero(), v);
    return curved<T>(v, activation, before, at, lanes);
}

// v times the activation's derivative at its gate (contract.h, Epilogue): silu's input, or y.
template <typename T>
DAART_FAST_INLINE typename Vec<T>::type times_derivative(typename Vec<T>::type v,
                                                         typename Vec<T>::type y,
                                                         Activation activation) {
    using V = Vec<T>;
    switch (activation) {
        case Activation::relu:
            return V::select_positive(y, v, V::zero());
        case Activation::lrelu:
            return V::select_positive(y, v, V::mul(v, V::set(T(kLeakySlope))));
        case Activation::sigmoid:
            return V::mul(v, V::fnma(y, y, y));
        case Activation::tanh:
            return V::mul(v, V::fnma(y, y, V::set(T(1))));
        case Activation::silu:
            return times_silu_derivative<T>(v, y);
        default:
            return v;
    }
}

// The epilogue for one register of channels [c, c + lanes) of sequence b: what does not change from
// frame to frame is loaded once.
template <typename T>
class Finish {
    using V = Vec<T>;
    using R = typename V::type;

  public:
    Finish(const Epilogue<T>& epilogue, int64_t b, int64_t channels, int64_t c)
        : epilogue_(epilogue),
          lanes_(channels - c < V::size ? int(channels - c) : V::size),
          more_(epilogue.scale || epilogue.gate || epilogue.inner || epilogue.residual ||
                epilogue.outer != Activation::linear) {
        residual_ = epilogue.residual ? epilogue.residual + b * epilogue.residual_skip : nullptr;
        bias_ = epilogue.bias ? V::load_n(epilogue.bias + c, lanes_) : V::zero();
        scale_ = V::set(T(1));
        unscale_ = scale_;
        if (!epilogue.scale) return;
        const int64_t stride = epilogue.scale_stride ? epilogue.scale_stride : channels;
        T scale[V::size] = {}, unscale[V::size] = {};
        for (int i = 0; i < lanes_; i++) {
            scale[i] = epilogue.scale[b * stride + c + i];
            // Where a channel was dropped its gradient is zero whatever the derivative is.
            unscale[i] = scale[i] != T(0) ? T(1) / scale[i] : T(0);
        }
        scale_ = V::load(scale);
        unscale_ = V::load(unscale);
    }

    int lanes() const { return lanes_; }

    // Stores what becomes of v at y. `at` is the same place in a contiguous (batch, frames,
    // channels) tensor: where gate, inner, residual and the like are read and written.
    DAART_FAST_INLINE void operator()(R v, T* y, int64_t at) const {
        v = activate<T>(V::add(v, bias_), epilogue_.activation, epilogue_.before, at, lanes_);
        if (more_) v = rest(v, at);
        if (lanes_ == V::size) {
            V::store(y, v);
        } else {
            V::store_n(y, v, lanes_);
        }
    }

  private:
    DAART_FAST_INLINE R rest(R v, int64_t at) const {
        v = V::mul(v, scale_);
        if (epilogue_.gate) {
            R gate = V::load_n(epilogue_.gate + at, lanes_);
            if (epilogue_.gate_scaled) gate = V::mul(gate, unscale_);
            v = times_derivative<T>(v, gate, epilogue_.gate_activation);
        }
        if (epilogue_.inner) V::store_n(epilogue_.inner + at, v, lanes_);
        if (residual_) v = V::add(v, V::load_n(residual_ + at, lanes_));
        return activate<T>(v, epilogue_.outer, epilogue_.before_outer, at, lanes_);
    }

    const Epilogue<T> epilogue_;
    int lanes_;
    bool more_;
    const T* residual_;
    R bias_, scale_, unscale_;
};

}  // namespace
}  // namespace daart_fast::DAART_FAST_ISA
