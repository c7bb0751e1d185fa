// Two nested levels of minimal filtering as one transform, the two innermost of a plan. What lies
// between them stays in registers: to store it and to read it again takes as long as the
// arithmetic.
//
// Index i of the outer level and j of the inner one are together product i * (inner products) + j,
// and output or tap i * (inner outputs or taps) + j, as Plan has it. The levels' operations are the
// same as one after the other, and so are the results, to the last bit.
#pragma once

#include "filtered_transforms.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

// Registers that may lie between two levels; the rest of AVX-512's 32 are for the arithmetic.
constexpr int kHeld = 24;

// Towards products: the outer matrix along every place of the inner vector, then the inner matrix
// along every row of that. Index i of place s is read at s + i * Spacing. Where not all rows can be
// held they are made in parts, and what they are made from is read again.
template <typename Outer, typename Inner, int Spacing>
struct ToProducts {
    using V = Vec<float>;
    using R = V::type;
    static constexpr int places = Inner::cols;

    // load(i) is position i; position i of the result goes to out + i * step.
    template <typename Load>
    static DAART_FAST_INLINE void run(const Load& load, float* out, int64_t step) {
        parts<0>(load, out, step);
    }

  private:
    static constexpr int part_rows() {
        const int fit = kHeld / places / 2 * 2;  // pairs stay together
        return fit < Outer::rows ? fit : Outer::rows;
    }

    template <int First, typename Load>
    static DAART_FAST_INLINE void parts(const Load& load, float* out, int64_t step) {
        constexpr int left = Outer::rows - First, count = left < part_rows() ? left : part_rows();
        if constexpr (count > 0) {
            part<First>(load, out, step, std::make_integer_sequence<int, count>{});
            parts<First + count>(load, out, step);
        }
    }

    template <int First, typename Load, int... N>
    static DAART_FAST_INLINE void part(const Load& load, float* out, int64_t step,
                                       std::integer_sequence<int, N...>) {
        R between[sizeof...(N)][places];
        DAART_FAST_UNROLL
        for (int s = 0; s < places; s++) {
            R x[Outer::cols], y[Outer::rows];
            DAART_FAST_UNROLL
            for (int i = 0; i < Outer::cols; i++) x[i] = load(s + i * Spacing);
            Outer::fold(x);
            Outer::template some_rows<First, int(sizeof...(N))>(x, y);
            ((between[N][s] = y[Outer::in_order(First + N)]), ...);
        }
        (inner(between[N], out + Outer::in_order(First + N) * (Inner::rows * step), step), ...);
    }

    static DAART_FAST_INLINE void inner(R* x, float* out, int64_t step) {
        R y[Inner::rows];
        Inner::run(x, y);
        DAART_FAST_UNROLL
        for (int i = 0; i < Inner::rows; i++) V::store(out + i * step, y[i]);
    }
};

// From products: the inner matrix along every row, then the outer one along every place.
template <typename Outer, typename Inner>
struct FromProducts {
    using V = Vec<float>;
    using R = V::type;
    static_assert(Inner::rows * Outer::cols <= kHeld, "it must fit the registers");

    // store(i, value) puts value at position i of the result.
    template <typename Store>
    static DAART_FAST_INLINE void run(const float* in, int64_t step, const Store& store) {
        R between[Inner::rows][Outer::cols];
        DAART_FAST_UNROLL
        for (int i = 0; i < Outer::cols; i++) {
            R x[Inner::cols], y[Inner::rows];
            DAART_FAST_UNROLL
            for (int j = 0; j < Inner::cols; j++) x[j] = V::load(in + (i * Inner::cols + j) * step);
            Inner::run(x, y);
            DAART_FAST_UNROLL
            for (int s = 0; s < Inner::rows; s++) between[s][i] = y[s];
        }
        DAART_FAST_UNROLL
        for (int s = 0; s < Inner::rows; s++) {
            R z[Outer::rows];
            Outer::run(between[s], z);
            DAART_FAST_UNROLL
            for (int i = 0; i < Outer::rows; i++) store(s + i * Inner::rows, z[i]);
        }
    }
};

// The two as stages. They are the innermost levels: neighbours lie a single position apart. Where
// frames are read or written they are the only levels.
template <typename Pair>
struct PairToProducts {
    using V = Vec<float>;

    static void memory(const Places& p, const float* in, int64_t in_step, float* out,
                       int64_t out_step) {
        for (int c = 0; c < p.groups; c++) {
            const float* from = in + c * (p.in_group * in_step);
            Pair::run([=](int i) DAART_FAST_INLINE_LAMBDA { return V::load(from + i * in_step); },
                      out + c * (p.out_group * out_step), out_step);
        }
    }

    static void frames(const Places&, const float* const* frames, int64_t channel, int lanes,
                       float* out, int64_t out_step) {
        if (lanes == V::size) return whole_frames(frames, channel, out, out_step);
        Pair::run([=](int i)
                      DAART_FAST_INLINE_LAMBDA { return V::load_n(frames[i] + channel, lanes); },
                  out, out_step);
    }

  private:
    static void whole_frames(const float* const* frames, int64_t channel, float* out,
                             int64_t out_step) {
        Pair::run([=](int i) DAART_FAST_INLINE_LAMBDA { return V::load(frames[i] + channel); }, out,
                  out_step);
    }
};

template <typename Pair>
struct PairFromProducts {
    using V = Vec<float>;
    using R = V::type;

    static void memory(const Places& p, const float* in, int64_t in_step, float* out,
                       int64_t out_step) {
        for (int c = 0; c < p.groups; c++) {
            float* to = out + c * (p.out_group * out_step);
            Pair::run(in + c * (p.in_group * in_step), in_step,
                      [=](int i, R z) DAART_FAST_INLINE_LAMBDA { V::store(to + i * out_step, z); });
        }
    }

    static void finish(const Places&, const float* in, int64_t in_step,
                       const Finish<float>& as_given, float* y, int64_t at, const int64_t* frame,
                       int64_t channels) {
        const Finish<float> finish = as_given;
        Pair::run(in, in_step, [&](int i, R z) DAART_FAST_INLINE_LAMBDA {
            const int64_t t = frame[i];
            if (t >= 0) finish(z, y + t * channels, at + t * channels);
        });
    }
};

template <typename Inner, typename Outer>
constexpr Transform pair_of() {
    constexpr int m = Inner::outputs, r = Inner::taps;
    using Input =
        PairToProducts<ToProducts<Multiply<InputTable<Outer>>, Multiply<InputTable<Inner>>, m>>;
    using Output =
        PairFromProducts<FromProducts<Multiply<OutputTable<Outer>>, Multiply<OutputTable<Inner>>>>;
    using Gradient = PairToProducts<
        ToProducts<Multiply<GradientTable<Outer>>, Multiply<GradientTable<Inner>>, m>>;
    using Weights =
        PairToProducts<ToProducts<Multiply<WeightsTable<Outer>>, Multiply<WeightsTable<Inner>>, r>>;
    using WeightsGradient = PairFromProducts<
        FromProducts<Multiply<WeightsGradientTable<Outer>>, Multiply<WeightsGradientTable<Inner>>>>;
    return {m * Outer::outputs,
            r * Outer::taps,
            Inner::products * Outer::products,
            Inner::products + (Outer::products - 1) * m,
            Inner::products + 1,
            Input::frames,
            Input::memory,
            Output::memory,
            Output::finish,
            Gradient::frames,
            Gradient::memory,
            Weights::memory,
            WeightsGradient::memory};
}

}  // namespace
}  // namespace daart_fast::DAART_FAST_ISA
