// The direct convolution: every tap of every channel, one multiplication each, as small matrix
// products whose tile of results never leaves the registers.
//
// Forward and input gradient are one loop. A tile is `tile_rows` consecutive frames by
// `tile_vectors` registers of channels; each tap adds the product of as many shifted frames of x
// with its slice of the weights. A tap whose frames all lie outside the sequence is left out; one
// that straddles an end reads a copy of those few frames with zeros in place of the missing ones.
// So nothing is padded, and there is one kind of tile.
//
// The weight gradient accumulates outer products over a block of frames, tap by tap, with the
// frames cut to those where both sides exist.
#include "../contract.h"
#include "epilogue.h"
#include "parallel.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// ---------------------------------------------------------------- weights, packed

// What the tile loop needs to know of a convolution, forward or backward.
struct Plan {
    int64_t batch, frames_in, frames_out, channels_in, channels_out, width, dilation, pad_left;
    int64_t x_stride, y_stride;
};

// The input gradient is the convolution of g with taps reversed and channels swapped.
Plan forward_plan(const ConvShape& s) {
    return {s.batch, s.frames_in, s.frames_out, s.channels_in, s.channels_out,
            s.width, s.dilation,  s.pad_left,   s.x_stride,    s.y_stride};
}
Plan backward_plan(const ConvShape& s) {
    return {s.batch,       s.frames_out, s.frames_in, s.channels_out,
            s.channels_in, s.width,      s.dilation,  s.dilation * (s.width - 1) - s.pad_left,
            s.y_stride,    s.x_stride};
}

// Columns of results come in blocks of tile_vectors registers, the last perhaps of fewer. Packed
// weights are [block][tap][channel in][lane], zeros in the lanes past the last channel.
template <typename T>
struct Columns {
    static constexpr int size = Vec<T>::size, wide = Vec<T>::tile_vectors;
    int64_t channels, vectors;
    explicit Columns(int64_t channels) : channels(channels), vectors(ceil_div(channels, size)) {}
    int64_t blocks() const { return ceil_div(vectors, wide); }
    int width(int64_t block) const {
        const int64_t left = vectors - block * wide;
        return left < wide ? int(left) : wide;
    }
    int64_t packed_size(int64_t width, int64_t channels_in) const {
        return vectors * size * width * channels_in;
    }
    // Offset of a block's weights: every block before it is full.
    int64_t offset(int64_t block, int64_t width, int64_t channels_in) const {
        return block * wide * size * width * channels_in;
    }
};

// Packs this team member's part of the weights. `swapped` packs for the input gradient.
template <typename T>
void pack(const Plan& p, const T* weight, bool swapped, T* packed, const Team& team) {
    const Columns<T> columns(p.channels_out);
    // weight is (channels_out, channels_in, width) of the forward pass.
    const int64_t to = swapped ? p.width : p.channels_in * p.width;
    const int64_t from = swapped ? p.channels_out * p.width : p.width;
    int64_t first, last;
    team.share(columns.blocks() * p.channels_in, first, last);
    for (int64_t item = first; item < last; item++) {
        const int64_t block = item / p.channels_in, c = item % p.channels_in;
        const int lanes = columns.width(block) * Columns<T>::size;
        T* out = packed + columns.offset(block, p.width, p.channels_in) + c * lanes;
        const int64_t o0 = block * Columns<T>::wide * Columns<T>::size;
        for (int lane = 0; lane < lanes; lane++) {
            const bool exists = o0 + lane < p.channels_out;
            const T* w = weight + (exists ? (o0 + lane) * to + c * from : 0);
            for (int64_t k = 0; k < p.width; k++) {
                const int64_t tap = swapped ? p.width - 1 - k : k;
                out[k * p.channels_in * lanes + lane] = exists ? w[tap] : T(0);
            }
        }
    }
}

// ---------------------------------------------------------------- the tile

// One tap of one tile: its first row of x, and its number.
template <typename T>
struct Tap {
    const T* x;
    int64_t k;
};

// ROWS frames by N registers, summed over taps and channels, written to out[ROWS][N * size].
// CHANNELS > 0 is the number of input channels known to the compiler; 0 reads it from channels_in.
template <typename T, int ROWS, int N, int CHANNELS>
void tile(const Tap<T>* taps, int64_t n_taps, int64_t channels_in,
          const T* DAART_FAST_RESTRICT weights, T* DAART_FAST_RESTRICT out) {
    using V = Vec<T>;
    using R = typename V::type;
    const int64_t channels = CHANNELS > 0 ? CHANNELS : channels_in;
    R sum[ROWS][N];
    DAART_FAST_UNROLL
    for (int r = 0; r < ROWS; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) sum[r][n] = V::zero();
    }
    for (int64_t i = 0; i < n_taps; i++) {
        const T* x = taps[i].x;
        const T* w = weights + taps[i].k * channels * N * V::size;
        for (int64_t c = 0; c < channels; c++, x++, w += N * V::size) {
            R column[N];
            DAART_FAST_UNROLL
            for (int n = 0; n < N; n++) column[n] = V::load(w + n * V::size);
            DAART_FAST_UNROLL
            for (int r = 0; r < ROWS; r++) {
                const R value = V::set(x[r * channels]);
                DAART_FAST_UNROLL
                for (int n = 0; n < N; n++) sum[r][n] = V::fma(value, column[n], sum[r][n]);
            }
        }
    }
    DAART_FAST_UNROLL
    for (int r = 0; r < ROWS; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) V::store(out + (r * N + n) * V::size, sum[r][n]);
    }
}

template <typename T>
using TileFunction = void (*)(const Tap<T>*, int64_t, int64_t, const T*, T*);

template <typename T, int ROWS, int N>
TileFunction<T> choose_tile(int64_t channels_in) {
    switch (channels_in) {
        case 16:
            return tile<T, ROWS, N, 16>;
        case 32:
            return tile<T, ROWS, N, 32>;
        case 48:
            return tile<T, ROWS, N, 48>;
        case 64:
            return tile<T, ROWS, N, 64>;
        case 96:
            return tile<T, ROWS, N, 96>;
        case 128:
            return tile<T, ROWS, N, 128>;
        default:
            return tile<T, ROWS, N, 0>;
    }
}

// Lists the taps that reach into the sequence from frames [t, t + rows) of the result. Taps that
// straddle an end are copied to `edges`, which has room for width * rows frames.
template <typename T>
int64_t list_taps(const Plan& p, const T* x, int64_t t, int rows, Tap<T>* taps, T* edges) {
    int64_t n = 0;
    for (int64_t k = 0; k < p.width; k++) {
        const int64_t from = t + k * p.dilation - p.pad_left;
        if (from + rows <= 0 || from >= p.frames_in) continue;
        if (from >= 0 && from + rows <= p.frames_in) {
            taps[n++] = {x + from * p.channels_in, k};
            continue;
        }
        T* copy = edges + n * rows * p.channels_in;
        for (int r = 0; r < rows; r++) {
            const int64_t frame = from + r;
            const bool inside = frame >= 0 && frame < p.frames_in;
            const T* source = x + (inside ? frame * p.channels_in : 0);
            T* target = copy + r * p.channels_in;
            for (int64_t c = 0; c < p.channels_in; c++) target[c] = inside ? source[c] : T(0);
        }
        taps[n++] = {copy, k};
    }
    return n;
}

// Frames [t, t + rows) of sequence b, all channels; rows <= ROWS.
template <typename T, int ROWS>
void rows_of_tile(const Plan& p, const T* x, const T* packed, const Epilogue<T>& epilogue, T* y,
                  int64_t b, int64_t t, int rows, Tap<T>* taps, T* edges) {
    using V = Vec<T>;
    const Columns<T> columns(p.channels_out);
    const auto wide = choose_tile<T, ROWS, V::tile_vectors>(p.channels_in);
    const auto narrow = choose_tile<T, ROWS, 1>(p.channels_in);
    const int64_t n_taps = list_taps(p, x + b * p.x_stride, t, ROWS, taps, edges);
    alignas(64) T sums[ROWS * V::tile_vectors * V::size];
    for (int64_t block = 0; block < columns.blocks(); block++) {
        const int width = columns.width(block);
        const T* weights = packed + columns.offset(block, p.width, p.channels_in);
        (width == V::tile_vectors ? wide : narrow)(taps, n_taps, p.channels_in, weights, sums);
        for (int n = 0; n < width; n++) {
            const int64_t c = (block * V::tile_vectors + n) * V::size;
            const Finish<T> finish(epilogue, b, p.channels_out, c);
            T* out = y + b * p.y_stride + t * p.channels_out + c;
            const int64_t at = (b * p.frames_out + t) * p.channels_out + c;
            for (int r = 0; r < rows; r++) {
                finish(V::load(sums + (r * width + n) * V::size), out + r * p.channels_out,
                       at + r * p.channels_out);
            }
        }
    }
}

template <typename T>
void convolve(const Plan& p, const T* x, const T* weight, bool swapped, const Epilogue<T>& epilogue,
              T* y, int threads) {
    static_assert(Vec<T>::tile_vectors == 2, "narrow blocks are one register wide");
    constexpr int ROWS = Vec<T>::tile_rows;
    const Columns<T> columns(p.channels_out);
    const int64_t tiles = ceil_div(p.frames_out, ROWS);
    if (p.batch * tiles < threads) threads = int(p.batch * tiles);
    if (threads == 0) return;
    T* packed = scratch_of<T>(Slot::direct_packed, columns.packed_size(p.width, p.channels_in));
    const int64_t edge_size = p.width * ROWS * p.channels_in;
    Tap<T>* all_taps = scratch_of<Tap<T>>(Slot::direct_taps, threads * p.width);
    T* all_edges = scratch_of<T>(Slot::direct_edges, threads * edge_size);
    parallel(threads, [&](const Team& team) {
        pack(p, weight, swapped, packed, team);
        team.barrier();
        Tap<T>* taps = all_taps + team.rank * p.width;
        T* edges = all_edges + team.rank * edge_size;
        int64_t first, last;
        team.share(p.batch * tiles, first, last);
        for (int64_t item = first; item < last; item++) {
            const int64_t b = item / tiles, t = item % tiles * ROWS;
            const int64_t rows = p.frames_out - t < ROWS ? p.frames_out - t : ROWS;
            if (rows <= ROWS / 3) {
                rows_of_tile<T, ROWS / 3>(p, x, packed, epilogue, y, b, t, int(rows), taps, edges);
            } else {
                rows_of_tile<T, ROWS>(p, x, packed, epilogue, y, b, t, int(rows), taps, edges);
            }
        }
    });
}

template <typename T>
void forward(const ConvShape& s, const T* x, const T* weight, const Epilogue<T>& epilogue, T* y,
             int threads) {
    convolve(forward_plan(s), x, weight, false, epilogue, y, threads);
}

template <typename T>
void input_grad(const ConvShape& s, const T* g, const T* weight, const Epilogue<T>& epilogue, T* dx,
                int threads) {
    convolve(backward_plan(s), g, weight, true, epilogue, dx, threads);
}

// ---------------------------------------------------------------- the weight gradient

// Adds the sum over frames of x[t][0..ROWS) times g[t][0..lanes of N registers) to sum, which is
// [ROWS][N * size]. PARTIAL: the last register has only last_lanes lanes.
template <typename T, int ROWS, int N, bool PARTIAL>
void outer(const T* x, int64_t x_step, const T* g, int64_t g_step, int64_t frames, int last_lanes,
           T* sum, int64_t sum_step) {
    using V = Vec<T>;
    using R = typename V::type;
    R a[ROWS][N];
    DAART_FAST_UNROLL
    for (int r = 0; r < ROWS; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) a[r][n] = V::zero();
    }
    for (int64_t t = 0; t < frames; t++, x += x_step, g += g_step) {
        R row[N];
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) {
            row[n] = PARTIAL && n == N - 1 ? V::load_n(g + n * V::size, last_lanes)
                                           : V::load(g + n * V::size);
        }
        DAART_FAST_UNROLL
        for (int r = 0; r < ROWS; r++) {
            const R value = V::set(x[r]);
            DAART_FAST_UNROLL
            for (int n = 0; n < N; n++) a[r][n] = V::fma(value, row[n], a[r][n]);
        }
    }
    DAART_FAST_UNROLL
    for (int r = 0; r < ROWS; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) {
            T* to = sum + r * sum_step + n * V::size;
            V::store(to, V::add(V::load(to), a[r][n]));
        }
    }
}

template <typename T>
using OuterFunction = void (*)(const T*, int64_t, const T*, int64_t, int64_t, int, T*, int64_t);

template <typename T, int ROWS>
OuterFunction<T> choose_outer(int vectors, bool partial) {
    if (vectors == 2) return partial ? outer<T, ROWS, 2, true> : outer<T, ROWS, 2, false>;
    return partial ? outer<T, ROWS, 1, true> : outer<T, ROWS, 1, false>;
}

// Rows of the outer product come in eights; what is left in four, two, one.
constexpr int kOuterRows = 8;

template <typename T>
OuterFunction<T> choose_outer(int rows, int vectors, bool partial) {
    switch (rows) {
        case 8:
            return choose_outer<T, 8>(vectors, partial);
        case 4:
            return choose_outer<T, 4>(vectors, partial);
        case 2:
            return choose_outer<T, 2>(vectors, partial);
        default:
            return choose_outer<T, 1>(vectors, partial);
    }
}

// The gradient is a table of units: (tap, block of input channels, block of output registers), and
// for the bias (block of output registers). A unit's sum is over all frames, in blocks short
// enough that what they read stays in the first-level cache and that rounding does not grow with
// the length of the data. Where there are few units the frames are cut into slices, summed apart
// and added in order at the end. Cuts depend on the shape alone, so the result does not depend on
// the number of threads.
template <typename T>
struct GradPlan {
    const ConvShape& s;
    Columns<T> columns;
    int64_t row_blocks, conv_units, units, frames_per_block, blocks_per_sequence, blocks, slices;
    int64_t padded_out, slice_size;

    explicit GradPlan(const ConvShape& s) : s(s), columns(s.channels_out) {
        row_blocks = ceil_div(s.channels_in, kOuterRows);
        conv_units = s.width * row_blocks * columns.blocks();
        units = conv_units + columns.blocks();
        const int64_t fit = 32768 / ((s.channels_in + s.channels_out) * int64_t(sizeof(T)));
        frames_per_block = fit < 64 ? 64 : fit > 256 ? 256 : fit;
        blocks_per_sequence = ceil_div(s.frames_out, frames_per_block);
        blocks = s.batch * blocks_per_sequence;
        slices = ceil_div(64, conv_units);
        if (slices > blocks) slices = blocks;
        if (slices < 1) slices = 1;
        padded_out = columns.vectors * Vec<T>::size;
        slice_size = (s.width * s.channels_in + 1) * padded_out;
    }
};

// Adds block number `block` of frames to one unit's sum.
template <typename T>
void add_block(const GradPlan<T>& p, const T* x, const T* g, int64_t block, int64_t unit, T* sums) {
    using V = Vec<T>;
    const ConvShape& s = p.s;
    const int64_t b = block / p.blocks_per_sequence;
    int64_t t0 = block % p.blocks_per_sequence * p.frames_per_block;
    int64_t t1 = t0 + p.frames_per_block < s.frames_out ? t0 + p.frames_per_block : s.frames_out;
    g += b * s.y_stride;
    x += b * s.x_stride;

    const bool bias = unit >= p.conv_units;
    const int64_t column = bias ? unit - p.conv_units : unit % p.columns.blocks();
    const int vectors = p.columns.width(column);
    const int64_t o = column * Columns<T>::wide * V::size;
    const bool partial = o + vectors * V::size > s.channels_out;
    const int last_lanes = int(s.channels_out - o - (vectors - 1) * V::size);
    if (bias) {
        static constexpr T one[1] = {T(1)};
        T* sum = sums + s.width * s.channels_in * p.padded_out + o;
        choose_outer<T>(1, vectors, partial)(one, 0, g + t0 * s.channels_out + o, s.channels_out,
                                             t1 - t0, last_lanes, sum, p.padded_out);
        return;
    }
    const int64_t k = unit / (p.columns.blocks() * p.row_blocks);
    const int64_t shift = k * s.dilation - s.pad_left;
    if (t0 + shift < 0) t0 = -shift;
    if (t1 + shift > s.frames_in) t1 = s.frames_in - shift;
    if (t0 >= t1) return;
    int64_t c = unit / p.columns.blocks() % p.row_blocks * kOuterRows;
    const int64_t c_end = c + kOuterRows < s.channels_in ? c + kOuterRows : s.channels_in;
    for (int rows = kOuterRows; c < c_end; rows /= 2) {
        if (c + rows > c_end) continue;
        choose_outer<T>(rows, vectors, partial)(
            x + (t0 + shift) * s.channels_in + c, s.channels_in, g + t0 * s.channels_out + o,
            s.channels_out, t1 - t0, last_lanes, sums + (k * s.channels_in + c) * p.padded_out + o,
            p.padded_out);
        c += rows;
    }
}

template <typename T>
void weight_grad(const ConvShape& s, const T* x, const T* g, T* dweight, T* dbias, int threads) {
    const GradPlan<T> p(s);
    const int64_t units = dbias ? p.units : p.conv_units;
    T* sums = scratch_of<T>(Slot::direct_sums, p.slices * p.slice_size);
    if (p.slices * units < threads) threads = int(p.slices * units);
    parallel(threads, [&](const Team& team) {
        int64_t first, last;
        team.share(p.slices * p.slice_size, first, last);
        for (int64_t i = first; i < last; i++) sums[i] = T(0);
        team.barrier();

        team.share(p.slices * units, first, last);
        while (first < last) {
            const int64_t slice = first / units, unit0 = first % units;
            const int64_t unit1 = units < unit0 + last - first ? units : unit0 + last - first;
            const int64_t block1 = p.blocks * (slice + 1) / p.slices;
            for (int64_t block = p.blocks * slice / p.slices; block < block1; block++) {
                for (int64_t unit = unit0; unit < unit1; unit++) {
                    add_block(p, x, g, block, unit, sums + slice * p.slice_size);
                }
            }
            first += unit1 - unit0;
        }
        team.barrier();

        // Slices added in order, and back to PyTorch's (out, in, width).
        team.share(s.channels_out, first, last);
        for (int64_t o = first; o < last; o++) {
            for (int64_t c = 0; c < s.channels_in; c++) {
                for (int64_t k = 0; k < s.width; k++) {
                    const T* sum = sums + (k * s.channels_in + c) * p.padded_out + o;
                    T total = sum[0];
                    for (int64_t i = 1; i < p.slices; i++) total += sum[i * p.slice_size];
                    dweight[(o * s.channels_in + c) * s.width + k] = total;
                }
            }
            if (!dbias) continue;
            const T* sum = sums + s.width * s.channels_in * p.padded_out + o;
            dbias[o] = sum[0];
            for (int64_t i = 1; i < p.slices; i++) dbias[o] += sum[i * p.slice_size];
        }
    });
}

}  // namespace

void fill_direct(Kernels& table) {
    table.direct32 = {forward<float>, input_grad<float>, weight_grad<float>};
    table.direct64 = {forward<double>, input_grad<double>, weight_grad<double>};
}

}  // namespace daart_fast::DAART_FAST_ISA
