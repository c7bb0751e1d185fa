// The losses of a training step: values and slopes in one pass over the frames that count, sums
// for each sequence. Sequences are what threads share, so results do not depend on their number.
#include "../contract.h"
#include "epilogue.h"
#include "parallel.h"
#include "vec.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

// Threads for sequences of `work` multiplications in all; a thread takes whole ones.
int team_size(int64_t sequences, int64_t work, int threads) {
    constexpr int64_t kWorthAThread = 10000;
    const int most = useful_threads(work, kWorthAThread, threads);
    return sequences < 1 ? 1 : sequences < most ? int(sequences) : most;
}

DAART_FAST_INLINE float exponential(float x) {
    return exp_lane(x);
}
DAART_FAST_INLINE double exponential(double x) {
    return std::exp(x);
}

// ---- a head ----------------------------------------------------------------------------------

// Frames whose logits are made together: enough of them to hide the latency of the sums.
constexpr int kFrames = 6;

// weight (classes, channels) as (channels, padded classes), then bias: what logits() reads.
template <typename T>
const T* pack_head(const HeadShape& s, const T* weight, const T* bias, int64_t padded) {
    T* packed = scratch_of<T>(Slot::losses_packed, (s.channels + 1) * padded);
    for (int64_t i = 0; i < (s.channels + 1) * padded; i++) packed[i] = 0;
    for (int64_t k = 0; k < s.classes; k++) {
        for (int64_t c = 0; c < s.channels; c++) {
            packed[c * padded + k] = weight[k * s.channels + c];
        }
        packed[s.channels * padded + k] = bias ? bias[k] : T(0);
    }
    return packed;
}

// The logits of kFrames frames, (kFrames, padded).
template <typename T>
void logits(const HeadShape& s, const T* const* x, const T* packed, int64_t padded, T* out) {
    using V = Vec<T>;
    for (int64_t k = 0; k < padded; k += V::size) {
        typename V::type sum[kFrames];
        DAART_FAST_UNROLL
        for (int f = 0; f < kFrames; f++) sum[f] = V::load(packed + s.channels * padded + k);
        for (int64_t c = 0; c < s.channels; c++) {
            const auto w = V::load(packed + c * padded + k);
            DAART_FAST_UNROLL
            for (int f = 0; f < kFrames; f++) sum[f] = V::fma(V::set(x[f][c]), w, sum[f]);
        }
        DAART_FAST_UNROLL
        for (int f = 0; f < kFrames; f++) V::store(out + f * padded + k, sum[f]);
    }
}

// logits (classes) to exponentials relative to the largest; returns their sum. A NaN stays one.
template <typename T>
T exponentials(int64_t classes, T* values, T largest) {
    T sum = 0;
    for (int64_t k = 0; k < classes; k++) {
        const T above = values[k] - largest;
        values[k] = above != above ? above : exponential(above);
        sum += values[k];
    }
    return sum;
}

// The label of frame `at` if it counts, else -1.
int64_t counted(const HeadLabels& l, const int64_t* labels, int64_t at) {
    if (!labels || (l.mask && !l.mask[at])) return -1;
    return labels[at] == l.ignored || labels[at] < 0 ? -1 : labels[at];
}

template <typename T>
class HeadPass {
  public:
    HeadPass(const HeadShape& shape, const T* x, const T* packed, int64_t padded,
             const HeadLabels& labels, const T* class_weights, int64_t* targets, T* slopes)
        : s_(shape),
          x_(x),
          packed_(packed),
          padded_(padded),
          labels_(labels),
          class_weights_(class_weights),
          targets_(targets),
          slopes_(slopes) {}

    // Returns the first label of sequence b that is no class, or -1. values: kFrames * padded.
    int64_t sequence(int64_t b, T* values, double* sums) {
        for (int i = 0; i < 4; i++) sums[i] = 0;
        Frame waiting[kFrames];
        int n = 0;
        for (int64_t t = 0; t < s_.scored; t++) {
            const int64_t label = b * s_.label_stride + s_.first + t;
            Frame frame{b * s_.frames + s_.first + t, b * s_.scored + t,
                        counted(labels_, labels_.labels, label),
                        counted(labels_, labels_.compared, label)};
            if (frame.target >= s_.classes) return frame.target;
            if (frame.compared >= s_.classes) return frame.compared;
            if (counted(labels_, labels_.unless, label) >= 0) frame.target = -1;
            targets_[frame.out] = frame.target;
            if (frame.target < 0) {
                for (int64_t k = 0; k < s_.classes; k++) slopes_[frame.out * s_.classes + k] = 0;
                if (frame.compared < 0) continue;
            }
            waiting[n++] = frame;
            if (n == kFrames) {
                score(waiting, n, values, sums);
                n = 0;
            }
        }
        if (n) score(waiting, n, values, sums);
        return -1;
    }

  private:
    struct Frame {
        int64_t in, out;  // its place among all frames, and among those scored
        int64_t target, compared;
    };

    void score(const Frame* frames, int n, T* values, double* sums) {
        const T* x[kFrames];
        for (int f = 0; f < kFrames; f++) x[f] = x_ + frames[f < n ? f : 0].in * s_.channels;
        logits(s_, x, packed_, padded_, values);
        for (int f = 0; f < n; f++) score(frames[f], values + f * padded_, sums);
    }

    void score(const Frame& frame, T* values, double* sums) {
        T largest = values[0];
        int64_t likeliest = 0;
        for (int64_t k = 1; k < s_.classes; k++) {
            if (values[k] > largest) {
                largest = values[k];
                likeliest = k;
            }
        }
        if (frame.compared >= 0) {
            sums[2] += likeliest == frame.compared;
            sums[3] += 1;
        }
        if (frame.target < 0) return;
        const T below = largest - values[frame.target];
        const T weight = class_weights_ ? class_weights_[frame.target] : T(1);
        const T sum = exponentials(s_.classes, values, largest);
        sums[0] += double(weight * (std::log(sum) + below));
        sums[1] += double(weight);
        T* slopes = slopes_ + frame.out * s_.classes;
        const T share = weight / sum;
        for (int64_t k = 0; k < s_.classes; k++) slopes[k] = values[k] * share;
        slopes[frame.target] -= weight;
    }

    const HeadShape& s_;
    const T *x_, *packed_;
    int64_t padded_;
    const HeadLabels& labels_;
    const T* class_weights_;
    int64_t* targets_;
    T* slopes_;
};

template <typename T>
int64_t head(const HeadShape& s, const T* x, const T* weight, const T* bias,
             const HeadLabels& labels, const T* class_weights, int64_t* targets, T* slopes,
             double* sums, int threads) {
    threads = team_size(s.batch, s.batch * s.scored * s.channels, threads);
    const int64_t padded = round_up(s.classes, Vec<T>::size);
    const T* packed = pack_head(s, weight, bias, padded);
    T* values = scratch_of<T>(Slot::losses_gradients, threads * kFrames * padded);
    int64_t wrong = -1;
    parallel(threads, [&](const Team& team) {
        HeadPass<T> pass(s, x, packed, padded, labels, class_weights, targets, slopes);
        int64_t first, last;
        team.share(s.batch, first, last);
        for (int64_t b = first; b < last; b++) {
            T* own = values + team.rank * kFrames * padded;
            const int64_t found = pass.sequence(b, own, sums + 4 * b);
            if (found < 0) continue;
#ifdef _OPENMP
#pragma omp atomic write
#endif
            wrong = found;
        }
    });
    return wrong;
}

// What frame x with these slopes adds to dweight (classes, channels) and dbias, if they are wanted,
// and its own gradient.
template <typename T>
void frame_grad(const HeadShape& s, const T* x, const T* weight, const T* slopes, T factor,
                bool add, T* dx, T* dweight, T* dbias) {
    using V = Vec<T>;
    for (int64_t c = 0; c < s.channels; c += V::size) {
        const int lanes = s.channels - c < V::size ? int(s.channels - c) : V::size;
        const auto here = V::load_n(x + c, lanes);
        auto sum = V::zero();
        for (int64_t k = 0; k < s.classes; k++) {
            const auto slope = V::set(slopes[k] * factor);
            const int64_t at = k * s.channels + c;
            sum = V::fma(slope, V::load_n(weight + at, lanes), sum);
            if (!dweight) continue;
            V::store_n(dweight + at, V::fma(slope, here, V::load_n(dweight + at, lanes)), lanes);
        }
        if (!dx) continue;
        if (add) sum = V::add(sum, V::load_n(dx + c, lanes));
        V::store_n(dx + c, sum, lanes);
    }
    if (!dbias) return;
    for (int64_t k = 0; k < s.classes; k++) dbias[k] += slopes[k] * factor;
}

template <typename T>
void head_grad(const HeadShape& s, const T* x, const T* weight, const int64_t* targets,
               const T* slopes, const T* factor, bool add, T* dx, T* dweight, T* dbias,
               int threads) {
    threads = team_size(s.batch, s.batch * s.scored * s.channels, threads);
    // each sequence's own sums of dweight and dbias, then added in their order
    const int64_t weights = s.classes * s.channels, own = round_up(weights + s.classes, 16);
    T* partial = dweight ? scratch_of<T>(Slot::losses_gradients, s.batch * own) : nullptr;
    parallel(threads, [&](const Team& team) {
        int64_t first, last;
        team.share(s.batch, first, last);
        for (int64_t b = first; b < last; b++) {
            T* dw = partial ? partial + b * own : nullptr;
            T* db = dw ? dw + weights : nullptr;
            for (int64_t i = 0; dw && i < weights + s.classes; i++) dw[i] = 0;
            for (int64_t t = 0; t < s.frames; t++) {
                const int64_t at = b * s.frames + t, scored = t - s.first;
                const bool inside = scored >= 0 && scored < s.scored;
                T* to = dx ? dx + at * s.channels : nullptr;
                if (inside && targets[b * s.scored + scored] >= 0) {
                    frame_grad(s, x + at * s.channels, weight,
                               slopes + (b * s.scored + scored) * s.classes, factor[b], add, to, dw,
                               db);
                } else if (to && !add) {
                    for (int64_t c = 0; c < s.channels; c++) to[c] = 0;
                }
            }
        }
    });
    if (!dweight) return;
    for (int64_t i = 0; i < weights + s.classes; i++) {
        T sum = 0;
        for (int64_t b = 0; b < s.batch; b++) sum += partial[b * own + i];
        (i < weights ? dweight[i] : dbias[i - weights]) = sum;
    }
}

// ---- squared errors ----------------------------------------------------------------------------

// Whether the prediction of frame t counts.
bool counts(const ErrorShape& s, const bool* mask, int64_t b, int64_t t) {
    if (t < s.first || t >= s.first + s.scored) return false;
    if (!mask) return true;
    mask += b * s.target_stride + t;
    return mask[0] && mask[s.ahead];
}

template <typename T>
void error(const ErrorShape& s, const T* prediction, const T* target, const bool* mask,
           double* sums, int threads) {
    threads = team_size(s.batch, s.batch * s.scored * s.channels, threads);
    parallel(threads, [&](const Team& team) {
        int64_t first, last;
        team.share(s.batch, first, last);
        for (int64_t b = first; b < last; b++) {
            double total = 0;
            int64_t known = 0;
            for (int64_t t = s.first; t < s.first + s.scored; t++) {
                if (!counts(s, mask, b, t)) continue;
                const T* p = prediction + (b * s.frames + t) * s.channels;
                const T* y = target + (b * s.target_stride + t + s.ahead) * s.channels;
                T sum = 0;
                for (int64_t c = 0; c < s.channels; c++) {
                    const bool here = y[c] == y[c];
                    const T difference = here ? p[c] - y[c] : T(0);
                    sum += difference * difference;
                    known += here;
                }
                total += double(sum);
            }
            sums[2 * b] = total;
            sums[2 * b + 1] = double(known);
        }
    });
}

template <typename T>
void error_grad(const ErrorShape& s, const T* prediction, const T* target, const bool* mask,
                const T* factor, T* dprediction, int threads) {
    threads = team_size(s.batch, s.batch * s.frames * s.channels, threads);
    parallel(threads, [&](const Team& team) {
        int64_t first, last;
        team.share(s.batch, first, last);
        for (int64_t b = first; b < last; b++) {
            const T twice = 2 * factor[b];
            for (int64_t t = 0; t < s.frames; t++) {
                const int64_t at = (b * s.frames + t) * s.channels;
                T* to = dprediction + at;
                if (!counts(s, mask, b, t)) {
                    for (int64_t c = 0; c < s.channels; c++) to[c] = 0;
                    continue;
                }
                const T* p = prediction + at;
                const T* y = target + (b * s.target_stride + t + s.ahead) * s.channels;
                for (int64_t c = 0; c < s.channels; c++) {
                    to[c] = y[c] == y[c] ? twice * (p[c] - y[c]) : T(0);
                }
            }
        }
    });
}

template <typename T>
constexpr LossKernels<T> all_of() {
    return {head<T>, head_grad<T>, error<T>, error_grad<T>};
}

}  // namespace

void fill_losses(Kernels& table) {
    table.losses32 = all_of<float>();
    table.losses64 = all_of<double>();
}

}  // namespace daart_fast::DAART_FAST_ISA
