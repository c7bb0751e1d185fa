// One frame at a time: small products of a few rows with packed weights, for the online engine.
//
// A convolution of one frame reads its weights once and computes little with each, so what counts
// is that they stream through in the order in which they lie in memory, and that enough sums run
// side by side to hide the latency of a multiply-add: one row is summed in `SPLIT` parts.
#include "../contract.h"
#include "epilogue.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

using V = Vec<float>;
using R = V::type;

constexpr int kRows = 4;  // rows that share one reading of the weights

int64_t vectors_of(int64_t channels) {
    return (channels + V::size - 1) / V::size;
}

// Output channels come in blocks of 4, 2 and 1 registers, as many as are left allow.
int block_width(int64_t vectors_left) {
    return vectors_left >= 4 ? 4 : vectors_left >= 2 ? 2 : 1;
}

int64_t padded(int64_t channels) {
    return vectors_of(channels) * V::size;
}

// weight (channels_out, channels_in, width) -> [block][tap][channel in][lane], zeros past the last
// channel.
void pack(int64_t channels_in, int64_t channels_out, int64_t width, const float* weight,
          float* packed) {
    for (int64_t v = 0; v < vectors_of(channels_out);) {
        const int block = block_width(vectors_of(channels_out) - v);
        for (int64_t k = 0; k < width; k++) {
            for (int64_t c = 0; c < channels_in; c++) {
                for (int64_t o = v * V::size; o < (v + block) * V::size; o++) {
                    const bool exists = o < channels_out;
                    *packed++ = exists ? weight[(o * channels_in + c) * width + k] : 0.0f;
                }
            }
        }
        v += block;
    }
}

// Adds the product of ROWS rows x, `row_step` apart, with one tap's weights of N registers.
template <int ROWS, int N, int SPLIT>
DAART_FAST_INLINE void tap(const float* DAART_FAST_RESTRICT x, int64_t row_step, int64_t channels,
                           const float* DAART_FAST_RESTRICT w, R (&sum)[SPLIT][ROWS][N]) {
    int64_t c = 0;
    for (; c + SPLIT <= channels; c += SPLIT) {
        DAART_FAST_UNROLL
        for (int s = 0; s < SPLIT; s++, w += N * V::size) {
            DAART_FAST_UNROLL
            for (int r = 0; r < ROWS; r++) {
                const R value = V::set(x[r * row_step + c + s]);
                DAART_FAST_UNROLL
                for (int n = 0; n < N; n++) {
                    sum[s][r][n] = V::fma(value, V::load(w + n * V::size), sum[s][r][n]);
                }
            }
        }
    }
    for (; c < channels; c++, w += N * V::size) {
        for (int r = 0; r < ROWS; r++) {
            const R value = V::set(x[r * row_step + c]);
            for (int n = 0; n < N; n++) {
                sum[0][r][n] = V::fma(value, V::load(w + n * V::size), sum[0][r][n]);
            }
        }
    }
}

// Adds taps [first, last) of one block of output channels to its sums, which are sum_step apart.
template <int ROWS, int N, int SPLIT>
void add_block(const OnlineProduct& p, int64_t row, const float* weights, float* sums) {
    const int64_t sum_step = padded(p.channels_out);
    R sum[SPLIT][ROWS][N];
    DAART_FAST_UNROLL
    for (int r = 0; r < ROWS; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) {
            sum[0][r][n] = V::load(sums + r * sum_step + n * V::size);
            DAART_FAST_UNROLL
            for (int s = 1; s < SPLIT; s++) sum[s][r][n] = V::zero();
        }
    }
    const int64_t tap_size = p.channels_in * N * V::size;
    for (int64_t k = p.first; k < p.last; k++) {
        tap<ROWS, N, SPLIT>(p.taps[k] + row * p.channels_in, p.channels_in, p.channels_in,
                            weights + k * tap_size, sum);
    }
    DAART_FAST_UNROLL
    for (int r = 0; r < ROWS; r++) {
        DAART_FAST_UNROLL
        for (int n = 0; n < N; n++) {
            R total = sum[0][r][n];
            DAART_FAST_UNROLL
            for (int s = 1; s < SPLIT; s++) total = V::add(total, sum[s][r][n]);
            V::store(sums + r * sum_step + n * V::size, total);
        }
    }
}

template <int N, int SPLIT>
void add_rows(const OnlineProduct& p, const float* weights, float* sums) {
    const int64_t sum_step = padded(p.channels_out);
    int64_t r = 0;
    for (; r + kRows <= p.rows; r += kRows) {
        add_block<kRows, N, 1>(p, r, weights, sums + r * sum_step);
    }
    for (; r < p.rows; r++) add_block<1, N, SPLIT>(p, r, weights, sums + r * sum_step);
}

void add(const OnlineProduct& p, const float* weights, float* sums) {
    for (int64_t v = 0; v < vectors_of(p.channels_out);) {
        const int block = block_width(vectors_of(p.channels_out) - v);
        if (block == 4) {
            add_rows<4, 2>(p, weights, sums + v * V::size);
        } else if (block == 2) {
            add_rows<2, 4>(p, weights, sums + v * V::size);
        } else {
            add_rows<1, 4>(p, weights, sums + v * V::size);
        }
        weights += block * V::size * p.channels_in * p.width;
        v += block;
    }
}

void finish(int64_t rows, int64_t channels, const float* sums, const Epilogue<float>& epilogue,
            float* y) {
    for (int64_t c = 0; c < channels; c += V::size) {
        const Finish<float> end(epilogue, 0, channels, c);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t at = r * channels + c;
            end(V::load(sums + r * padded(channels) + c), y + at, at);
        }
    }
}

}  // namespace

void fill_online(Kernels& table) {
    table.online = {padded, pack, add, finish};
}

}  // namespace daart_fast::DAART_FAST_ISA
