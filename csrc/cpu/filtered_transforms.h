// The one-dimensional transforms of minimal filtering (Toom-Cook; Winograd 1980; Lavin and Gray,
// 2016), on whole registers.
//
// F(m, r) finds m outputs of a filter of r taps from n = m + r - 1 inputs with n products:
//   y = output (weights g * input x)
// where * is elementwise. With n - 1 finite points a_j and infinity as the last:
//   output[i][j] = a_j^i, and 1 in the last row of the last column,
//   weights[j][k] = a_j^k / product over l != j of (a_j - a_l), and 1 in the last column of the
//   last, input row j = coefficients of the product over l != j of (x - a_l); the last row is that
//   of all.
// The gradients use the transposes. The first two points are always 0 and 1, so that product 1 sees
// the plain sum of the outputs' gradients (the bias gradient) and is the only one to see a constant
// input: the other rows of `input` add up to zero, which keeps large means from doing harm.
#pragma once

#include <cstdint>
#include <utility>

#include "epilogue.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

// Which terms of a row: all, or, for one of a pair of rows, those where the two agree or do not.
enum class Terms { all, agreeing, opposing };

template <int Rows, int Cols>
struct Matrix {
    static constexpr int rows = Rows, cols = Cols;
    double at[Rows][Cols] = {};

    constexpr Matrix<Cols, Rows> transposed() const {
        Matrix<Cols, Rows> t;
        for (int i = 0; i < Rows; i++) {
            for (int j = 0; j < Cols; j++) t.at[j][i] = at[i][j];
        }
        return t;
    }
};

// F(M, R) with its finite points given as twice their value, so that halves are whole numbers.
template <int M, int R, int... TwicePoints>
struct Minimal {
    static constexpr int outputs = M, taps = R, products = M + R - 1, finite = M + R - 2;
    static_assert(sizeof...(TwicePoints) == finite, "one point fewer than products");

    static constexpr double point(int j) {
        constexpr int twice[] = {TwicePoints...};
        return twice[j] / 2.0;
    }

    static constexpr Matrix<M, products> output() {
        Matrix<M, products> a;
        for (int j = 0; j < finite; j++) {
            double power = 1;
            for (int i = 0; i < M; i++, power *= point(j)) a.at[i][j] = power;
        }
        a.at[M - 1][finite] = 1;
        return a;
    }

    static constexpr Matrix<products, R> weights() {
        Matrix<products, R> g;
        for (int j = 0; j < finite; j++) {
            double value = 1;
            for (int l = 0; l < finite; l++) {
                if (l != j) value /= point(j) - point(l);
            }
            for (int k = 0; k < R; k++, value *= point(j)) g.at[j][k] = value;
        }
        g.at[finite][R - 1] = 1;
        return g;
    }

    static constexpr Matrix<products, products> input() {
        Matrix<products, products> b;
        for (int j = 0; j < products; j++) {
            int degree = 0;
            b.at[j][0] = 1;
            for (int l = 0; l < finite; l++) {
                if (l == j) continue;
                degree++;
                for (int i = degree; i > 0; i--)
                    b.at[j][i] = b.at[j][i - 1] - point(l) * b.at[j][i];
                b.at[j][0] *= -point(l);
            }
        }
        return b;
    }
};

// A matrix made ready to multiply registers by with few operations.
//   Columns p and q that agree up to signs are replaced by the sum and the difference of the inputs
//   p and q. Rows p and q that agree up to signs share two partial sums: one is their sum, the
//   other their difference. Points +a and -a make such pairs.
template <int Rows, int Cols>
struct Folded {
    Matrix<Rows, Cols> m;
    int column_pair[Cols] = {};  // the other one, or -1
    int row_pair[Rows] = {};

    constexpr Folded(const Matrix<Rows, Cols>& as_it_is, int) : m(as_it_is) {}

    constexpr explicit Folded(const Matrix<Rows, Cols>& from) : m(from) {
        for (int j = 0; j < Cols; j++) column_pair[j] = -1;
        for (int i = 0; i < Rows; i++) row_pair[i] = -1;
        for (int p = 0; p < Cols; p++) {
            for (int q = p + 1; q < Cols; q++) {
                if (column_pair[p] < 0 && column_pair[q] < 0 && columns_agree(p, q)) fold(p, q);
            }
        }
        for (int p = 0; p < Rows; p++) {
            for (int q = p + 1; q < Rows; q++) {
                if (row_pair[p] < 0 && row_pair[q] < 0 && rows_agree(p, q)) {
                    row_pair[p] = q;
                    row_pair[q] = p;
                }
            }
        }
    }

    constexpr bool rows_agree(int p, int q) const {
        int same = 0, opposite = 0;
        for (int j = 0; j < Cols; j++) {
            const double a = m.at[p][j], b = m.at[q][j];
            if (a != b && a != -b) return false;
            same += a != 0 && a == b;
            opposite += a != 0 && a == -b;
        }
        return same > 0 && opposite > 0;
    }

    constexpr bool columns_agree(int p, int q) const {
        return Folded<Cols, Rows>(m.transposed(), 0).rows_agree(p, q);
    }

    constexpr void fold(int p, int q) {
        column_pair[p] = q;
        column_pair[q] = p;
        for (int i = 0; i < Rows; i++) {
            const bool same = m.at[i][p] == m.at[i][q];
            m.at[i][q] = same ? 0 : m.at[i][p];
            if (!same) m.at[i][p] = 0;
        }
    }

    constexpr double term(int i, int j, Terms terms) const {
        if (terms == Terms::all) return m.at[i][j];
        const bool same = m.at[i][j] == m.at[row_pair[i]][j];
        return same == (terms == Terms::agreeing) ? m.at[i][j] : 0;
    }

    // The term that a sum starts from: one with a factor of 1 where there is one. -1: no terms.
    constexpr int lead(int i, Terms terms) const {
        int first = -1;
        for (int j = 0; j < Cols; j++) {
            if (term(i, j, terms) == 1) return j;
            if (term(i, j, terms) != 0 && first < 0) first = j;
        }
        return first;
    }
};

// out = matrix * in; `in` is overwritten. Table has a static constexpr Folded `table`.
template <typename Table>
struct Multiply {
    using V = Vec<float>;
    using R = V::type;
    static constexpr auto folded = Table::table;
    static constexpr int rows = decltype(folded.m)::rows, cols = decltype(folded.m)::cols;

    static DAART_FAST_INLINE void run(R* in, R* out) {
        fold(in);
        some_rows<0, rows>(in, out);
    }

    // The same in parts: first fold, then rows number [First, First + Count) of this order, in
    // which rows that share sums follow one another. No part may come between the two of a pair.
    static constexpr int in_order(int n) {
        for (int paired = 1; paired >= 0; paired--) {
            for (int i = 0; i < rows; i++) {
                const int q = folded.row_pair[i];
                if (paired ? q > i : q < 0) {
                    if (n == 0) return i;
                    n -= 1 + paired;
                    if (n < 0) return q;
                }
            }
        }
        return -1;
    }

    static DAART_FAST_INLINE void fold(R* in) {
        fold_pairs(in, std::make_integer_sequence<int, cols>{});
    }

    template <int First, int Count>
    static DAART_FAST_INLINE void some_rows(const R* in, R* out) {
        rows_from<First>(in, out, std::make_integer_sequence<int, Count>{});
    }

  private:
    // The factors are constants, so that only one of the branches remains.
    static DAART_FAST_INLINE R plus(R total, double factor, R x) {
        if (factor == 1) return V::add(total, x);
        if (factor == -1) return V::sub(total, x);
        return V::fma(V::set(float(factor)), x, total);
    }

    static DAART_FAST_INLINE R scaled(double factor, R x) {
        return factor == 1 ? x : V::mul(V::set(float(factor)), x);
    }

    template <int... J>
    static DAART_FAST_INLINE void fold_pairs(R* in, std::integer_sequence<int, J...>) {
        (fold_pair<J>(in), ...);
    }

    template <int P>
    static DAART_FAST_INLINE void fold_pair(R* in) {
        constexpr int q = folded.column_pair[P];
        if constexpr (q > P) {
            const R difference = V::sub(in[P], in[q]);
            in[P] = V::add(in[P], in[q]);
            in[q] = difference;
        }
    }

    template <int First, int... N>
    static DAART_FAST_INLINE void rows_from(const R* in, R* out, std::integer_sequence<int, N...>) {
        (row<in_order(First + N)>(in, out), ...);
    }

    template <int I>
    static DAART_FAST_INLINE void row(const R* in, R* out) {
        constexpr int q = folded.row_pair[I];
        if constexpr (q < 0) {
            out[I] = scaled(factor<I, Terms::all>(), sum<I, Terms::all>(in));
        } else if constexpr (q > I) {
            constexpr double a = factor<I, Terms::agreeing>(), o = factor<I, Terms::opposing>();
            R agreeing = sum<I, Terms::agreeing>(in), opposing = sum<I, Terms::opposing>(in);
            if constexpr (a == 1) {
                out[I] = plus(agreeing, o, opposing);
                out[q] = plus(agreeing, -o, opposing);
            } else {
                agreeing = scaled(a, agreeing);
                opposing = scaled(o, opposing);
                out[I] = V::add(agreeing, opposing);
                out[q] = V::sub(agreeing, opposing);
            }
        }
    }

    template <int I, Terms T>
    static constexpr double factor() {
        return folded.term(I, folded.lead(I, T), T);
    }

    // Row I's sum divided by the factor of its leading term.
    template <int I, Terms T>
    static DAART_FAST_INLINE R sum(const R* in) {
        R total = in[folded.lead(I, T)];
        add_terms<I, T>(in, total, std::make_integer_sequence<int, cols>{});
        return total;
    }

    template <int I, Terms T, int... J>
    static DAART_FAST_INLINE void add_terms(const R* in, R& total,
                                            std::integer_sequence<int, J...>) {
        (add_term<I, T, J>(in, total), ...);
    }

    template <int I, Terms T, int J>
    static DAART_FAST_INLINE void add_term(const R* in, R& total) {
        constexpr double c = folded.term(I, J, T);
        if constexpr (c != 0 && J != folded.lead(I, T)) {
            total = plus(total, c / factor<I, T>(), in[J]);
        }
    }
};

// Where a stage's numbers lie. Position (c, s, i), for group c of `groups`, place s of `inner` and
// index i of the vector that the matrix multiplies, is c * group + s + i * spacing, in and out each
// with their own group and spacing.
struct Places {
    int groups = 1, inner = 1;
    int in_group = 0, in_spacing = 0, out_group = 0, out_spacing = 0;
};

// One stage of a nested transform: a one-dimensional transform along one level, for one register of
// channels. The three differ in where they read and write; frames are read and written by the
// outermost level, around which there are no groups:
// memory to memory, a position's register lying `step` elements after the one before;
using Stage = void (*)(const Places&, const float* in, int64_t in_step, float* out,
                       int64_t out_step);
// frames of a tensor to memory: a pointer for each position, `lanes` channels from `channel` on;
using FramesStage = void (*)(const Places&, const float* const* frames, int64_t channel, int lanes,
                             float* out, int64_t out_step);
// memory to frames of the result, through the epilogue: position i goes to y + frame[i] * channels,
// or nowhere where frame[i] is negative; `at` is y's place in a contiguous tensor.
using FinishStage = void (*)(const Places&, const float* in, int64_t in_step, const Finish<float>&,
                             float* y, int64_t at, const int64_t* frame, int64_t channels);

template <typename Table>
struct Stages {
    using V = Vec<float>;
    using R = V::type;
    using Product = Multiply<Table>;

    static void memory(const Places& places, const float* in, int64_t in_step, float* out,
                       int64_t out_step) {
        const Steps p(places, in_step, out_step);
        for (int c = 0; c < p.groups; c++, in += p.in_group, out += p.out_group) {
            const float* from = in;
            float* to = out;
            for (int s = 0; s < p.inner; s++, from += in_step, to += out_step) {
                R x[Product::cols], y[Product::rows];
                DAART_FAST_UNROLL
                for (int i = 0; i < Product::cols; i++) x[i] = V::load(from + i * p.in_spacing);
                Product::run(x, y);
                DAART_FAST_UNROLL
                for (int i = 0; i < Product::rows; i++) V::store(to + i * p.out_spacing, y[i]);
            }
        }
    }

    static void frames(const Places& places, const float* const* frames, int64_t channel, int lanes,
                       float* out, int64_t out_step) {
        if (lanes == V::size) {
            from_frames<true>(places, frames, channel, lanes, out, out_step);
        } else {
            from_frames<false>(places, frames, channel, lanes, out, out_step);
        }
    }

    static void finish(const Places& places, const float* in, int64_t in_step,
                       const Finish<float>& as_given, float* y, int64_t at, const int64_t* frame,
                       int64_t channels) {
        const Steps p(places, in_step, 1);
        const Finish<float> finish = as_given;
        for (int s = 0; s < p.inner; s++, in += in_step) {
            R x[Product::cols], z[Product::rows];
            DAART_FAST_UNROLL
            for (int i = 0; i < Product::cols; i++) x[i] = V::load(in + i * p.in_spacing);
            Product::run(x, z);
            DAART_FAST_UNROLL
            for (int i = 0; i < Product::rows; i++) {
                const int64_t t = frame[s + i * p.out_spacing];
                if (t >= 0) finish(z[i], y + t * channels, at + t * channels);
            }
        }
    }

  private:
    // Places in elements, held in registers: a store of a vector may change anything in memory.
    struct Steps {
        int groups, inner;
        int64_t in_group, in_spacing, out_group, out_spacing;
        Steps(const Places& p, int64_t in_step, int64_t out_step)
            : groups(p.groups),
              inner(p.inner),
              in_group(p.in_group * in_step),
              in_spacing(p.in_spacing * in_step),
              out_group(p.out_group * out_step),
              out_spacing(p.out_spacing * out_step) {}
    };

    template <bool Full>
    static void from_frames(const Places& places, const float* const* frames, int64_t channel,
                            int lanes, float* out, int64_t out_step) {
        const Steps p(places, 1, out_step);
        for (int s = 0; s < p.inner; s++, out += out_step) {
            R x[Product::cols], y[Product::rows];
            DAART_FAST_UNROLL
            for (int i = 0; i < Product::cols; i++) {
                const float* frame = frames[s + i * p.in_spacing] + channel;
                x[i] = Full ? V::load(frame) : V::load_n(frame, lanes);
            }
            Product::run(x, y);
            DAART_FAST_UNROLL
            for (int i = 0; i < Product::rows; i++) V::store(out + i * p.out_spacing, y[i]);
        }
    }
};

// A transform as data: what a nest is put together from at run time. One of a single level has as
// many inputs as products.
struct Transform {
    int outputs, taps, products, inputs;
    int sum_product;           // the one that sees the plain sum of the outputs' gradients
    FramesStage input_frames;  // x: input matrix
    Stage input;
    Stage output;  // y: output matrix
    FinishStage output_finish;
    FramesStage gradient_frames;  // gradient of y: output matrix, transposed
    Stage gradient;
    Stage weights;           // taps: weights matrix
    Stage weights_gradient;  // gradient of the taps: weights matrix, transposed
};

template <typename F>
struct InputTable {
    static constexpr auto table = Folded<F::products, F::products>(F::input());
};
template <typename F>
struct OutputTable {
    static constexpr auto table = Folded<F::outputs, F::products>(F::output());
};
template <typename F>
struct GradientTable {
    static constexpr auto table = Folded<F::products, F::outputs>(F::output().transposed());
};
template <typename F>
struct WeightsTable {
    static constexpr auto table = Folded<F::products, F::taps>(F::weights());
};
template <typename F>
struct WeightsGradientTable {
    static constexpr auto table = Folded<F::taps, F::products>(F::weights().transposed());
};

template <typename F>
constexpr Transform transform_of() {
    return {F::outputs,
            F::taps,
            F::products,
            F::products,
            1,
            Stages<InputTable<F>>::frames,
            Stages<InputTable<F>>::memory,
            Stages<OutputTable<F>>::memory,
            Stages<OutputTable<F>>::finish,
            Stages<GradientTable<F>>::frames,
            Stages<GradientTable<F>>::memory,
            Stages<WeightsTable<F>>::memory,
            Stages<WeightsGradientTable<F>>::memory};
}

// The points, as twice their values. Small ones keep the errors small; pairs +a and -a keep the
// operations few.
using F22 = Minimal<2, 2, 0, 2>;
using F33 = Minimal<3, 3, 0, 2, -2, 1>;
using F23 = Minimal<2, 3, 0, 2, -2>;
using F43 = Minimal<4, 3, 0, 2, -2, 4, -4>;
using F63 = Minimal<6, 3, 0, 2, -2, 4, -4, 1, -1>;
using F24 = Minimal<2, 4, 0, 2, -2, 1>;
using F45 = Minimal<4, 5, 0, 2, -2, 4, -4, 1, -1>;
using F34 = Minimal<3, 4, 0, 2, -2, 4, -4>;

}  // namespace
}  // namespace daart_fast::DAART_FAST_ISA
