// Convolution by minimal filtering, all three passes: transform, multiply, transform back.
//
// A block is one plan's worth of outputs of one of the `dilation` interleaved sequences. Blocks are
// numbered over the whole batch and done some dozens at a time, so that the matrix products are of
// a good size whatever the dilation: for each of the plan's products q,
//   forward, input gradient:  m[q] (blocks, out) = v[q] (blocks, in) u[q] (in, out)
//   weight gradient:          u[q] (in, out) += v[q] (blocks, in)^T e[q] (blocks, out)
// with v the transformed frames, u the transformed weights and e the transformed gradients.
// Frames outside the sequence are read from a row of zeros; outputs outside it are not stored.
#include "filtered.h"

#include "filtered_plan.h"
#include "parallel.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

using V = Vec<float>;
using R = V::type;
constexpr int W = V::size;

// Products of a batch of blocks stay in the second-level cache.
constexpr int64_t kBatchBytes = 400 << 10;
constexpr int kMaxBatch = 48;

// Distance between matrices that are written side by side: an odd number of cache lines, so that
// they do not all fall into the same set.
constexpr int64_t spread(int64_t floats) {
    return (round_up(floats, 16) / 16 | 1) * 16;
}

// ---- matrix products -------------------------------------------------------------------------

constexpr int kRows = V::tile_rows, kRowUnit = kRows / 3;

// Row strides that tiles are compiled for: with a stride known to the compiler a tile needs one
// pointer for all its rows. 0 stands for any.
constexpr int kStrides[] = {16, 32, 48, 64, 96, 128, 0};

int64_t padded_stride(int64_t channels) {
    for (int stride : kStrides) {
        if (channels <= stride) return stride;
    }
    return round_up(channels, W);
}

// m (Rows, N registers) = v (Rows, depth) u (depth, N registers).
template <int Stride, int Rows, int N>
DAART_FAST_INLINE void tile(const float* v, int64_t v_stride, int64_t depth, const float* u,
                            float* m, int64_t m_stride) {
    const int64_t stride = Stride ? Stride : v_stride;
    R sum[Rows][N];
    DAART_FAST_UNROLL
    for (int r = 0; r < Rows; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) sum[r][n] = V::zero();
    }
    for (int64_t k = 0; k < depth; k++, u += N * W) {
        R w[N];
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) w[n] = V::load(u + n * W);
        DAART_FAST_UNROLL
        for (int r = 0; r < Rows; r++) {
            const R a = V::set(v[r * stride + k]);
            DAART_FAST_UNROLL
            for (int n = 0; n < N; n++) sum[r][n] = V::fma(a, w[n], sum[r][n]);
        }
    }
    DAART_FAST_UNROLL
    for (int r = 0; r < Rows; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) V::store(m + r * m_stride + n * W, sum[r][n]);
    }
}

// A column of tiles; rows is a multiple of kRowUnit.
template <int Stride, int N>
void tiles(const float* v, int64_t v_stride, int64_t rows, int64_t depth, const float* u, float* m,
           int64_t m_stride) {
    const int64_t stride = Stride ? Stride : v_stride;
    for (; rows >= kRows; rows -= kRows, v += kRows * stride, m += kRows * m_stride) {
        tile<Stride, kRows, N>(v, v_stride, depth, u, m, m_stride);
    }
    if (rows == 2 * kRowUnit) tile<Stride, 2 * kRowUnit, N>(v, v_stride, depth, u, m, m_stride);
    if (rows == kRowUnit) tile<Stride, kRowUnit, N>(v, v_stride, depth, u, m, m_stride);
}

// m (rows, columns) = v (rows, depth) u (depth, columns); u lies in panels of two registers'
// columns, columns is a multiple of W.
template <int Stride>
void multiply(const float* v, int64_t v_stride, int64_t rows, int64_t depth, const float* u,
              float* m, int64_t columns) {
    int64_t c = 0;
    for (; c + 2 * W <= columns; c += 2 * W, u += depth * 2 * W) {
        tiles<Stride, 2>(v, v_stride, rows, depth, u, m + c, columns);
    }
    if (c < columns) tiles<Stride, 1>(v, v_stride, rows, depth, u, m + c, columns);
}

using MultiplyFor = void (*)(const float*, int64_t, int64_t, int64_t, const float*, float*,
                             int64_t);

MultiplyFor multiply_for(int64_t stride) {
    switch (stride) {
        case 16:
            return multiply<16>;
        case 32:
            return multiply<32>;
        case 48:
            return multiply<48>;
        case 64:
            return multiply<64>;
        case 96:
            return multiply<96>;
        case 128:
            return multiply<128>;
        default:
            return multiply<0>;
    }
}

// Where register `column` of row `row` lies in panels of two registers' columns.
int64_t panel_place(int64_t row, int64_t column, int64_t depth, int64_t columns) {
    const int64_t panel = column / 2, in_panel = column % 2;
    const int64_t width = (panel + 1) * 2 * W <= columns ? 2 : 1;
    return panel * depth * 2 * W + (row * width + in_panel) * W;
}

// u (Rows, N registers) += or = v^T (Rows, blocks) e (blocks, N registers).
template <int Rows, int N, bool Add>
DAART_FAST_INLINE void outer_tile(const float* v, int64_t v_stride, const float* e,
                                  int64_t e_stride, int64_t blocks, float* u, int64_t u_stride) {
    R sum[Rows][N];
    DAART_FAST_UNROLL
    for (int r = 0; r < Rows; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) sum[r][n] = V::zero();
    }
    for (int64_t b = 0; b < blocks; b++, v += v_stride, e += e_stride) {
        R w[N];
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) w[n] = V::load(e + n * W);
        DAART_FAST_UNROLL
        for (int r = 0; r < Rows; r++) {
            const R a = V::set(v[r]);
            DAART_FAST_UNROLL
            for (int n = 0; n < N; n++) sum[r][n] = V::fma(a, w[n], sum[r][n]);
        }
    }
    DAART_FAST_UNROLL
    for (int r = 0; r < Rows; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) {
            float* to = u + r * u_stride + n * W;
            V::store(to, Add ? V::add(V::load(to), sum[r][n]) : sum[r][n]);
        }
    }
}

// Rows of the weight gradient's tiles; padded channel counts are multiples of it.
constexpr int kOuterRows = W >= 8 ? 8 : 4;

template <bool Add>
void multiply_outer(const float* v, int64_t v_stride, int64_t rows, const float* e, int64_t columns,
                    int64_t blocks, float* u) {
    for (int64_t c = 0; c < columns; c += 2 * W) {
        for (int64_t r = 0; r < rows; r += kOuterRows) {
            float* to = u + r * columns + c;
            if (c + 2 * W <= columns) {
                outer_tile<kOuterRows, 2, Add>(v + r, v_stride, e + c, columns, blocks, to,
                                               columns);
            } else {
                outer_tile<kOuterRows, 1, Add>(v + r, v_stride, e + c, columns, blocks, to,
                                               columns);
            }
        }
    }
}

// ---- transforms of one block, one register of channels ------------------------------------------

struct Buffers {
    alignas(64) float half[2][kMaxRegisters * W];
};

// x's frames to products, `step` elements apart.
DAART_FAST_INLINE void transform_frames(const Plan& plan, const float* const* frames,
                                        int64_t channel, int lanes, Buffers& buffers, float* out,
                                        int64_t step) {
    int l = plan.levels - 1;
    float* to = buffers.half[l & 1];
    plan.level[l]->input_frames(plan.input[l], frames, channel, lanes, l ? to : out, l ? W : step);
    while (l-- > 0) {
        const float* from = to;
        to = buffers.half[l & 1];
        plan.level[l]->input(plan.input[l], from, W, l ? to : out, l ? W : step);
    }
}

// The same for the gradients of a block's outputs.
DAART_FAST_INLINE void transform_gradients(const Plan& plan, const float* const* frames,
                                           int64_t channel, int lanes, Buffers& buffers, float* out,
                                           int64_t step) {
    int l = plan.levels - 1;
    float* to = buffers.half[l & 1];
    plan.level[l]->gradient_frames(plan.gradient[l], frames, channel, lanes, l ? to : out,
                                   l ? W : step);
    while (l-- > 0) {
        const float* from = to;
        to = buffers.half[l & 1];
        plan.level[l]->gradient(plan.gradient[l], from, W, l ? to : out, l ? W : step);
    }
}

// Products, `step` elements apart, to frames of the result.
DAART_FAST_INLINE void transform_back(const Plan& plan, const float* in, int64_t step,
                                      Buffers& buffers, const Finish<float>& finish, float* y,
                                      int64_t at, const int64_t* frame, int64_t channels) {
    const int last = plan.levels - 1;
    for (int l = 0; l < last; l++) {
        float* to = buffers.half[l & 1];
        plan.level[l]->output(plan.output[l], in, step, to, W);
        in = to;
        step = W;
    }
    plan.level[last]->output_finish(plan.output[last], in, step, finish, y, at, frame, channels);
}

void transform_weights(const Plan& plan, const float* taps, int64_t taps_step, Buffers& buffers,
                       float* out, int64_t step) {
    for (int l = plan.levels - 1; l >= 0; l--) {
        float* to = buffers.half[l & 1];
        plan.level[l]->weights(plan.weights[l], taps, taps_step, l ? to : out, l ? W : step);
        taps = to;
        taps_step = W;
    }
}

void transform_weights_gradient(const Plan& plan, const float* in, int64_t step, Buffers& buffers,
                                float* taps) {
    for (int l = 0; l < plan.levels; l++) {
        float* to = l == plan.levels - 1 ? taps : buffers.half[l & 1];
        plan.level[l]->weights_gradient(plan.weights_gradient[l], in, step, to, W);
        in = to;
        step = W;
    }
}

// ---- blocks
// ----------------------------------------------------------------------------------------

// The blocks of a convolution: which frames each reads and makes. Blocks that lie side by side in
// time follow one another, so that a batch reads the same frames again while they are in the cache.
class Blocks {
  public:
    Blocks(const Plan& plan, const ConvShape& shape) : plan_(plan), shape_(shape) {
        phases_ = shape.dilation < shape.frames_out ? shape.dilation : shape.frames_out;
        const int64_t longest = (shape.frames_out + phases_ - 1) / phases_;
        per_phase_ = (longest + plan.outputs - 1) / plan.outputs;
    }

    int64_t per_sequence() const { return per_phase_ * phases_; }
    int64_t count() const { return per_sequence() * shape_.batch; }

    // Block n's sequence.
    int64_t sequence(int64_t n) const { return n / per_sequence(); }

    // The frame of block n's output i, -1 if there is no such frame. Blocks beyond the last have
    // none.
    void outputs(int64_t n, int64_t* frame) const {
        int64_t t = n < count() ? start(n) : shape_.frames_out;
        for (int i = 0; i < plan_.outputs; i++, t += shape_.dilation) {
            frame[i] = t < shape_.frames_out ? t : -1;
        }
    }

    // Pointers to x's frames under block n's taps, to `zeros` where there is none.
    void inputs(int64_t n, const float* x, const float* zeros, const float** frames) const {
        if (n >= count()) {
            for (int i = 0; i < plan_.inputs; i++) frames[i] = zeros;
            return;
        }
        const float* sequence_start = x + sequence(n) * shape_.x_stride;
        int64_t t = start(n) - shape_.pad_left;
        const int64_t last = t + (plan_.inputs - 1) * shape_.dilation;
        if (t >= 0 && last < shape_.frames_in) {
            const float* frame = sequence_start + t * shape_.channels_in;
            const int64_t step = shape_.dilation * shape_.channels_in;
            for (int i = 0; i < plan_.inputs; i++, frame += step) frames[i] = frame;
            return;
        }
        for (int i = 0; i < plan_.inputs; i++, t += shape_.dilation) {
            const bool inside = t >= 0 && t < shape_.frames_in;
            frames[i] = inside ? sequence_start + t * shape_.channels_in : zeros;
        }
    }

    // Pointers to the gradients of block n's outputs, to `zeros` where there is none.
    void gradients(int64_t n, const float* g, const float* zeros, const float** frames) const {
        const float* sequence_start = g + (n < count() ? sequence(n) : 0) * shape_.y_stride;
        int64_t t = n < count() ? start(n) : shape_.frames_out;
        for (int i = 0; i < plan_.outputs; i++, t += shape_.dilation) {
            frames[i] = t < shape_.frames_out ? sequence_start + t * shape_.channels_out : zeros;
        }
    }

  private:
    int64_t start(int64_t n) const {
        const int64_t within = n % per_sequence();
        return within % phases_ + within / phases_ * plan_.outputs * shape_.dilation;
    }

    const Plan& plan_;
    const ConvShape& shape_;
    int64_t phases_, per_phase_;
};

// How many blocks to do at a time where each takes `bytes`.
int64_t batch_blocks(int64_t bytes, int64_t unit) {
    const int64_t fit = kBatchBytes / bytes / unit * unit;
    return fit < unit ? unit : fit > kMaxBatch ? kMaxBatch : fit;
}

const float* zero_row(int64_t channels) {
    float* zeros = scratch_of<float>(Slot::filtered_zeros, round_up(channels, W));
    for (int64_t c = 0; c < channels; c++) zeros[c] = 0;
    return zeros;
}

// ---- forward and input gradient
// ------------------------------------------------------------------

// Weights as a pass sees them. `flipped`: the input gradient is a convolution with the taps in
// reverse order and the channels swapped.
struct WeightsView {
    const float* weight;
    bool flipped;
};

// Input channel c's taps to taps (width, columns).
void pack_taps(const ConvShape& shape, const WeightsView& w, int64_t c, int64_t columns,
               float* taps) {
    const int64_t width = shape.width;
    for (int64_t o = 0; o < shape.channels_out; o++) {
        const float* from =
            w.weight + (w.flipped ? c * shape.channels_out + o : o * shape.channels_in + c) * width;
        if (w.flipped) {
            for (int64_t k = 0; k < width; k++) taps[(width - 1 - k) * columns + o] = from[k];
        } else {
            for (int64_t k = 0; k < width; k++) taps[k * columns + o] = from[k];
        }
    }
}

void convolve(const Plan& plan, const ConvShape& shape, const float* x, const WeightsView& weights,
              const Epilogue<float>& epilogue, float* y, int threads) {
    const Blocks blocks(plan, shape);
    const int64_t in = shape.channels_in, out = shape.channels_out;
    const int64_t v_stride = padded_stride(in), columns = round_up(out, W);
    const int64_t batch =
        batch_blocks(plan.products * (v_stride + columns) * int64_t(sizeof(float)), kRows);
    const int64_t u_step = spread(in * columns);
    const int64_t v_step = spread(batch * v_stride), m_step = spread(batch * columns);
    const int64_t taps_size = spread(plan.taps * columns);
    const int64_t own = plan.products * (v_step + m_step) + taps_size;

    const float* zeros = zero_row(in);
    float* u = scratch_of<float>(Slot::filtered_weights, plan.products * u_step);
    float* working = scratch_of<float>(Slot::filtered_blocks, own * threads);
    const MultiplyFor product = multiply_for(v_stride);

    parallel(threads, [&](const Team& team) {
        Buffers buffers;
        float* v = working + team.rank * own;
        float* m = v + plan.products * v_step;
        float* taps = m + plan.products * m_step;

        int64_t first, last;
        team.share(in, first, last);
        for (int64_t i = 0; i < taps_size; i++) taps[i] = 0;
        for (int64_t c = first; c < last; c++) {
            pack_taps(shape, weights, c, columns, taps);
            for (int64_t o = 0; o < columns / W; o++) {
                transform_weights(plan, taps + o * W, columns, buffers,
                                  u + panel_place(c, o, in, columns), u_step);
            }
        }
        team.barrier();

        team.share((blocks.count() + kRowUnit - 1) / kRowUnit, first, last);
        first *= kRowUnit;
        last *= kRowUnit;
        for (int64_t done = first; done < last; done += batch) {
            const int64_t rows = last - done < batch ? last - done : batch;
            for (int64_t r = 0; r < rows; r++) {
                const float* frames[kMaxInputs];
                blocks.inputs(done + r, x, zeros, frames);
                for (int64_t c = 0; c < in; c += W) {
                    const int lanes = in - c < W ? int(in - c) : W;
                    transform_frames(plan, frames, c, lanes, buffers, v + r * v_stride + c, v_step);
                }
            }
            for (int q = 0; q < plan.products; q++) {
                product(v + q * v_step, v_stride, rows, in, u + q * u_step, m + q * m_step,
                        columns);
            }
            for (int64_t r = 0; r < rows && done + r < blocks.count(); r++) {
                int64_t frame[kMaxInputs];
                blocks.outputs(done + r, frame);
                const int64_t b = blocks.sequence(done + r);
                for (int64_t c = 0; c < out; c += W) {
                    const Finish<float> finish(epilogue, b, out, c);
                    transform_back(plan, m + r * columns + c, m_step, buffers, finish,
                                   y + b * shape.y_stride + c, b * shape.frames_out * out + c,
                                   frame, out);
                }
            }
        }
    });
}

// ---- weight gradient
// -------------------------------------------------------------------------------

// How many parts the blocks are summed in, each by one thread: a function of the shape alone, so
// that results do not depend on the number of threads.
int64_t parts(int64_t blocks) {
    int64_t n = 1;
    // a part's transform back takes as long as some ten blocks: two parts early, more of them late
    while (n < 32 && blocks / (2 * n) >= (n < 2 ? 24 : 80)) n *= 2;
    return n;
}

void correlate(const Plan& plan, const ConvShape& shape, const float* x, const float* g,
               float* dweight, float* dbias, int threads) {
    const Blocks blocks(plan, shape);
    const int64_t in = shape.channels_in, out = shape.channels_out, width = shape.width;
    const int64_t rows = round_up(in, W), columns = round_up(out, W);
    const int64_t batch =
        batch_blocks(plan.products * (rows + columns) * int64_t(sizeof(float)), 4);
    const int64_t v_step = spread(batch * rows), e_step = spread(batch * columns);
    const int64_t u_step = spread(rows * columns);
    const int64_t own = plan.products * (v_step + e_step + u_step) + plan.taps * W;
    // A part: the taps' gradients (width, in, columns), then the bias gradient.
    const int64_t part_size = spread((width * in + 1) * columns);
    const int64_t n_parts = parts(blocks.count());

    const float* zeros = zero_row(in > out ? in : out);
    float* working = scratch_of<float>(Slot::filtered_blocks, own * threads);
    float* partial = scratch_of<float>(Slot::filtered_partials, part_size * n_parts);

    // The product that sees the plain sum of a block's gradients.
    int sum_product = 0;
    for (int l = plan.levels - 1; l >= 0; l--) {
        sum_product = sum_product * plan.level[l]->products + plan.level[l]->sum_product;
    }

    const auto sum_part = [&](int64_t first, int64_t last, float* v, float* part) {
        Buffers buffers;
        float* e = v + plan.products * v_step;
        float* u = e + plan.products * e_step;
        float* taps = u + plan.products * u_step;
        float* bias = part + width * in * columns;
        for (int64_t c = 0; c < columns; c++) bias[c] = 0;
        const int64_t batches = (last - first + batch - 1) / batch;
        for (int64_t i = 0; i < batches; i++) {
            const int64_t done = first + (last - first) * i / batches;
            const int64_t n = first + (last - first) * (i + 1) / batches - done;
            for (int64_t r = 0; r < n; r++) {
                const float* frames[kMaxInputs];
                blocks.inputs(done + r, x, zeros, frames);
                for (int64_t c = 0; c < in; c += W) {
                    const int lanes = in - c < W ? int(in - c) : W;
                    transform_frames(plan, frames, c, lanes, buffers, v + r * rows + c, v_step);
                }
                blocks.gradients(done + r, g, zeros, frames);
                for (int64_t c = 0; c < out; c += W) {
                    const int lanes = out - c < W ? int(out - c) : W;
                    transform_gradients(plan, frames, c, lanes, buffers, e + r * columns + c,
                                        e_step);
                }
            }
            for (int q = 0; q < plan.products; q++) {
                (i ? multiply_outer<true> : multiply_outer<false>)(v + q * v_step, rows, rows,
                                                                   e + q * e_step, columns, n,
                                                                   u + q * u_step);
            }
            for (int64_t c = 0; c < columns; c += W) {
                R sum = V::zero();
                for (int64_t r = 0; r < n; r++) {
                    sum = V::add(sum, V::load(e + sum_product * e_step + r * columns + c));
                }
                V::store(bias + c, V::add(V::load(bias + c), sum));
            }
        }
        for (int64_t c = 0; c < in; c++) {
            for (int64_t o = 0; o < columns; o += W) {
                transform_weights_gradient(plan, u + c * columns + o, u_step, buffers, taps);
                for (int64_t k = 0; k < width; k++) {
                    V::store(part + (k * in + c) * columns + o, V::load(taps + k * W));
                }
            }
        }
    };

    parallel(threads, [&](const Team& team) {
        int64_t first, last;
        team.share(n_parts, first, last);
        for (int64_t p = first; p < last; p++) {
            sum_part(blocks.count() * p / n_parts, blocks.count() * (p + 1) / n_parts,
                     working + team.rank * own, partial + p * part_size);
        }
        team.barrier();

        const auto total = [&](int64_t place) {
            R sum = V::load(partial + place);
            for (int64_t p = 1; p < n_parts; p++) {
                sum = V::add(sum, V::load(partial + p * part_size + place));
            }
            return sum;
        };
        team.share(in, first, last);
        for (int64_t c = first; c < last; c++) {
            for (int64_t o = 0; o < out; o += W) {
                const int lanes = out - o < W ? int(out - o) : W;
                for (int64_t k = 0; k < width; k++) {
                    float sum[W];
                    V::store(sum, total((k * in + c) * columns + o));
                    for (int i = 0; i < lanes; i++) {
                        dweight[((o + i) * in + c) * width + k] = sum[i];
                    }
                }
            }
        }
        if (team.rank == 0 && dbias) {
            for (int64_t o = 0; o < out; o += W) {
                const int lanes = out - o < W ? int(out - o) : W;
                V::store_n(dbias + o, total(width * in * columns + o), lanes);
            }
        }
    });
}

// ---- which plan, and does it pay
// ---------------------------------------------------------------------

// The input gradient is this convolution of the gradient.
ConvShape flipped(const ConvShape& shape) {
    ConvShape f = shape;
    f.frames_in = shape.frames_out;
    f.frames_out = shape.frames_in;
    f.channels_in = shape.channels_out;
    f.channels_out = shape.channels_in;
    f.pad_left = shape.dilation * (shape.width - 1) - shape.pad_left;
    f.x_stride = shape.y_stride;
    f.y_stride = shape.x_stride;
    return f;
}

// The cost model, in multiply-adds of one register on one thread, fitted to some thousand
// measurements on Zen 4 (128 shapes, every plan): of two ways it takes the faster one, or one less
// than 5% slower in nineteen of twenty cases, 13% for the weight gradient. Filtered, a product of
// one block costs a multiply-add for each pair of input channel and register of outputs, and a
// share of the transforms for each register of inputs and of outputs, which come with some work for
// each block; the weights' transforms count once a call. Direct, each frame costs a multiply-add
// for each tap and pair. Threads do not enter: which method runs must not depend on them, or
// results would.
struct Costs {
    double pair, input, output, weights;  // of a product
    double block_input, block_output;     // of a block
};
constexpr Costs kConvolveCosts = {1.06, 4.1, 6.5, 10, 13, 50};
constexpr Costs kCorrelateCosts = {0.98, 2.9, 11.3, 17.7, 16, 29};
constexpr double kDirectPair = 1.0, kDirectWeights = 60;
constexpr double kCall = 2400;  // what a filtered call takes whatever the shape

double registers(int64_t channels) {
    return double(round_up(channels, W)) / W;
}

double filtered_cost(const Plan& plan, const ConvShape& shape, Pass pass) {
    const double blocks = double(Blocks(plan, shape).count());
    const bool correlates = pass == Pass::weight_grad;
    const Costs& costs = correlates ? kCorrelateCosts : kConvolveCosts;
    const double in = registers(shape.channels_in), out = registers(shape.channels_out);
    const double pairs = double(shape.channels_in) * out;
    const double product = pairs * costs.pair + in * costs.input + out * costs.output;
    const double block =
        plan.products * product + in * costs.block_input + out * costs.block_output;
    const double weights = plan.products * pairs * costs.weights;
    return blocks * block + weights * double(correlates ? parts(int64_t(blocks)) : 1) + kCall;
}

double direct_cost(const ConvShape& shape) {
    const double pairs = double(shape.channels_in) * registers(shape.channels_out);
    const double frames = double(shape.batch) * double(shape.frames_out);
    return double(shape.width) * pairs * (frames * kDirectPair + kDirectWeights);
}

const Plan& choose_plan(const ConvShape& shape, Pass pass) {
    const Plan* best = nullptr;
    double least = 0;
    for (int i = 0; i < kPlans; i++) {
        const Plan& plan = all_plans()[i];
        if (plan.taps < shape.width) continue;
        if (pass == Pass::weight_grad && !plan.weight_grad) continue;
        const double cost = filtered_cost(plan, shape, pass);
        if (best && cost >= least) continue;
        best = &plan;
        least = cost;
    }
    return *best;
}

// The convolution that this pass runs: the input gradient is one of the gradient.
ConvShape as_run(const ConvShape& shape, Pass pass) {
    return pass == Pass::input_grad ? flipped(shape) : shape;
}

// A width of 1 or 2 gains nothing; the widest plan has more taps than kMaxWidth. More channels than
// kMaxChannels would fill the memory with transformed weights.
constexpr int64_t kMinWidth = 3, kMaxWidth = 33, kMaxChannels = 512;

bool can(const ConvShape& shape, Pass) {
    return shape.batch > 0 && shape.width >= kMinWidth && shape.width <= kMaxWidth &&
           shape.channels_in <= kMaxChannels && shape.channels_out <= kMaxChannels;
}

bool pays(const ConvShape& shape, Pass pass) {
    if (!can(shape, pass)) return false;
    const ConvShape run = as_run(shape, pass);
    return filtered_cost(choose_plan(run, pass), run, pass) < direct_cost(run);
}

// ---- the three passes --------------------------------------------------------------------------

void forward(const ConvShape& shape, const float* x, const float* weight,
             const Epilogue<float>& epilogue, float* y, int threads) {
    convolve(choose_plan(shape, Pass::forward), shape, x, {weight, false}, epilogue, y, threads);
}

void input_grad(const ConvShape& shape, const float* g, const float* weight,
                const Epilogue<float>& epilogue, float* dx, int threads) {
    const ConvShape run = flipped(shape);
    convolve(choose_plan(run, Pass::input_grad), run, g, {weight, true}, epilogue, dx, threads);
}

void weight_grad(const ConvShape& shape, const float* x, const float* g, float* dweight,
                 float* dbias, int threads) {
    correlate(choose_plan(shape, Pass::weight_grad), shape, x, g, dweight, dbias, threads);
}

}  // namespace

void fill_filtered(Kernels& table) {
    table.filtered32 = {forward, input_grad, weight_grad};
    table.filtered_can = can;
    table.filtered_pays = pays;
}

}  // namespace daart_fast::DAART_FAST_ISA
