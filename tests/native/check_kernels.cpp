// Runs every kernel of every instruction set at odd shapes against plain loops, without Python, so
// that AddressSanitizer and UndefinedBehaviorSanitizer see each access. Tensors lie at the end of
// their own allocations: one element too far is seen. Usage: check_kernels [RANDOM_SHAPES]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "../../csrc/contract.h"
#include "../../csrc/dispatch.h"
#include "plain.h"

using namespace daart_fast;
using namespace plain;

namespace {

int failures = 0, checks = 0;

// ---- plain loops
// ---------------------------------------------------------------------------------

// Calls visit(b, t of y, t of x, k) wherever a tap meets a frame.
template <typename Visit>
void each_tap(const ConvShape& s, const Visit& visit) {
    for (int64_t b = 0; b < s.batch; b++) {
        for (int64_t t = 0; t < s.frames_out; t++) {
            for (int64_t k = 0; k < s.width; k++) {
                const int64_t from = t + k * s.dilation - s.pad_left;
                if (from >= 0 && from < s.frames_in) visit(b, t, from, k);
            }
        }
    }
}

// Everything one check needs. Results in double beside what the kernels gave.
template <typename T>
struct Case {
    ConvShape s;
    std::vector<T> x, weight, g;
    std::vector<double> y, dx, dweight, dbias;

    explicit Case(const ConvShape& shape) : s(shape) {
        x = random_vector<T>(x_size());
        weight = random_vector<T>(s.channels_out * s.channels_in * s.width,
                                  1 / std::sqrt(double(s.channels_in * s.width)));
        g = random_vector<T>(y_size());
        y.resize(size_t(y_size()));
        dx.resize(size_t(x_size()));
        dweight.resize(weight.size());
        dbias.resize(size_t(s.channels_out));
        each_tap(s, [&](int64_t b, int64_t t, int64_t from, int64_t k) {
            for (int64_t o = 0; o < s.channels_out; o++) {
                const size_t at_y = size_t(b * s.y_stride + t * s.channels_out + o);
                for (int64_t c = 0; c < s.channels_in; c++) {
                    const size_t at_x = size_t(b * s.x_stride + from * s.channels_in + c);
                    const size_t at_w = size_t((o * s.channels_in + c) * s.width + k);
                    y[at_y] += double(weight[at_w]) * double(x[at_x]);
                    dx[at_x] += double(weight[at_w]) * double(g[at_y]);
                    dweight[at_w] += double(x[at_x]) * double(g[at_y]);
                }
            }
        });
        for (int64_t b = 0; b < s.batch; b++) {
            for (int64_t i = 0; i < s.frames_out * s.channels_out; i++) {
                dbias[size_t(i % s.channels_out)] += double(g[size_t(b * s.y_stride + i)]);
            }
        }
    }

    // The last sequence ends where its frames do.
    static int64_t size(int64_t batch, int64_t stride, int64_t frames, int64_t channels) {
        return batch ? (batch - 1) * stride + frames * channels : 0;
    }
    int64_t x_size() const { return size(s.batch, s.x_stride, s.frames_in, s.channels_in); }
    int64_t y_size() const { return size(s.batch, s.y_stride, s.frames_out, s.channels_out); }
};

template <typename T>
void compare(const char* what, const std::string& where, const std::vector<T>& got,
             const std::vector<double>& expected) {
    checks++;
    // what is added up is of size 1: a sum that cancels is not held to its own size
    double worst = 0, largest = 0.1;
    for (size_t i = 0; i < expected.size(); i++) {
        const double error = std::fabs(double(got[i]) - expected[i]);
        if (!(error <= worst)) worst = error;
        if (std::fabs(expected[i]) > largest) largest = std::fabs(expected[i]);
    }
    const double tolerance = sizeof(T) == 4 ? 1e-4 : 1e-11;
    if (worst <= tolerance * largest) return;
    failures++;
    std::printf("%s of %s: off by %.2e of %.2e\n", what, where.c_str(), worst, largest);
}

// ---- the kernels
// ---------------------------------------------------------------------------------

template <typename T>
void run_passes(const Case<T>& c, const ConvKernels<T>& kernels, const std::string& where,
                int threads) {
    const ConvShape& s = c.s;
    std::vector<T> y(c.y.size()), dx(c.dx.size()), dweight(c.dweight.size());
    std::vector<T> dbias(c.dbias.size());
    kernels.forward(s, c.x.data(), c.weight.data(), {}, y.data(), threads);
    compare("forward", where, y, c.y);
    kernels.input_grad(s, c.g.data(), c.weight.data(), {}, dx.data(), threads);
    compare("input gradient", where, dx, c.dx);
    kernels.weight_grad(s, c.x.data(), c.g.data(), dweight.data(), dbias.data(), threads);
    compare("weight gradient", where, dweight, c.dweight);
    compare("bias gradient", where, dbias, c.dbias);
    kernels.weight_grad(s, c.x.data(), c.g.data(), dweight.data(), nullptr, threads);
    compare("weight gradient alone", where, dweight, c.dweight);
}

// The whole epilogue, of a forward pass or of the input gradient, with each activation in turn.
template <typename T>
void run_epilogue(const Case<T>& c, const ConvKernels<T>& kernels, const std::string& where,
                  bool backward, Activation activation) {
    ConvShape s = c.s;
    const int64_t frames = backward ? s.frames_in : s.frames_out;
    const int64_t channels = backward ? s.channels_in : s.channels_out;
    const size_t n = size_t(s.batch * frames * channels);
    const std::vector<T> bias = random_vector<T>(channels);
    const std::vector<T> residual = random_vector<T>(int64_t(n));
    std::vector<T> scale(size_t(s.batch * channels)), gate(n), inner(n), before(n), outer(n);
    for (T& value : scale) value = engine() % 4 ? T(1.25) : T(0);
    for (T& value : gate) value = T(0.9 * gate_of(engine() % 9 * 0.25 - 1, activation));

    Epilogue<T> e;
    e.bias = backward ? nullptr : bias.data();
    e.activation = backward ? Activation::linear : activation;
    e.scale = scale.data();
    e.gate = backward ? gate.data() : nullptr;
    e.gate_activation = activation;
    e.gate_scaled = of_output(activation);
    e.before = before.data();
    e.before_outer = outer.data();
    e.inner = inner.data();
    e.residual = residual.data();
    e.outer = backward ? Activation::linear : activation;

    const std::vector<double>& plain = backward ? c.dx : c.y;
    const int64_t stride = backward ? s.x_stride : s.y_stride;
    std::vector<double> expected(plain.size()), expected_inner(n), expected_before(n);
    std::vector<double> expected_outer(n);
    for (size_t i = 0; i < n; i++) {
        const size_t channel = i % size_t(channels), b = i / size_t(frames * channels);
        const size_t at = b * size_t(stride) + i % size_t(frames * channels);
        const double factor = double(scale[b * size_t(channels) + channel]);
        double v = plain[at] + (backward ? 0 : double(bias[channel]));
        expected_before[i] = v;
        v = activate(v, e.activation) * factor;
        const double unscaled = factor != 0 ? double(gate[i]) / factor : 0;
        if (backward) v *= derivative(e.gate_scaled ? unscaled : double(gate[i]), activation);
        expected_inner[i] = v;
        expected_outer[i] = v + double(residual[i]);
        expected[at] = activate(expected_outer[i], e.outer);
    }
    std::vector<T> out(plain.size());
    if (backward) {
        kernels.input_grad(s, c.g.data(), c.weight.data(), e, out.data(), 2);
    } else {
        kernels.forward(s, c.x.data(), c.weight.data(), e, out.data(), 2);
    }
    compare(backward ? "backward epilogue" : "forward epilogue", where, out, expected);
    compare("what the epilogue keeps", where, inner, expected_inner);
    if (backward || of_output(activation)) return;
    compare("what it keeps before the activation", where, before, expected_before);
    compare("what it keeps before the outer one", where, outer, expected_outer);
}

template <typename T>
void run_case(const ConvShape& s, const ConvKernels<T>& kernels, const char* method) {
    const Case<T> c(s);
    char where[200];
    std::snprintf(where, sizeof where,
                  "%s %s%d, batch %d, frames %d to %d, channels %d to %d, "
                  "width %d, dilation %d, pad %d",
                  daart_fast::kernels().isa, method, int(8 * sizeof(T)), int(s.batch),
                  int(s.frames_in), int(s.frames_out), int(s.channels_in), int(s.channels_out),
                  int(s.width), int(s.dilation), int(s.pad_left));
    for (int threads : {1, 3}) run_passes(c, kernels, where, threads);
    if (s.batch == 0) return;
    const auto activation = static_cast<Activation>(engine() % kActivationCount);
    run_epilogue(c, kernels, where, false, activation);
    run_epilogue(c, kernels, where, true, activation);
}

void run_shape(const ConvShape& s) {
    const Kernels& k = kernels();
    run_case(s, k.direct32, "direct");
    run_case(s, k.direct64, "direct");
    if (k.filtered_can(s, Pass::forward)) run_case(s, k.filtered32, "filtered");
    // The cost model may be asked anything.
    for (Pass pass : {Pass::forward, Pass::input_grad, Pass::weight_grad}) {
        k.filtered_pays(s, pass);
    }
}

template <typename T>
void run_elementwise(const ElementwiseKernels<T>& kernels) {
    for (int64_t n : {0, 1, 7, 64, 40001}) {
        for (int a = 0; a < kActivationCount; a++) {
            const auto activation = static_cast<Activation>(a);
            const std::vector<T> dy = random_vector<T>(n);
            std::vector<T> y = random_vector<T>(n), g(dy.size());
            std::vector<double> expected(dy.size());
            for (size_t i = 0; i < dy.size(); i++) {
                y[i] = T(gate_of(double(y[i]), activation));
                expected[i] = double(dy[i]) * derivative(double(y[i]), activation);
            }
            kernels.times_derivative(n, dy.data(), y.data(), activation, g.data(), 2);
            compare("derivative", std::string(daart_fast::kernels().isa), g, expected);
        }
    }
}

// ---- shapes
// --------------------------------------------------------------------------------------

ConvShape shape(int64_t batch, int64_t frames, int64_t in, int64_t out, int64_t width,
                int64_t dilation, int64_t left, int64_t right, int64_t gap = 0) {
    ConvShape s{batch, frames, 0, in, out, width, dilation, left, 0, 0};
    s.frames_out = frames + left + right - dilation * (width - 1);
    s.x_stride = (frames + gap) * in;
    s.y_stride = s.frames_out * out;
    return s;
}

ConvShape random_shape(bool tiny) {
    const int64_t width = pick({1, 2, 3, 4, 5, 7, 9, 12, 17, 33}), dilation = pick({1, 2, 5});
    const int64_t span = dilation * (width - 1);
    const int64_t left = pick({0, span / 2, span, span + 3});
    const int64_t right = span - left > 0 ? span - left : pick({0, 2});
    const int64_t frames = 1 + int64_t(engine() % (tiny ? 20 : 40));
    const int64_t in = tiny ? 1 + int64_t(engine() % 18) : pick({1, 3, 16, 17, 32, 35});
    const int64_t out = tiny ? 1 + int64_t(engine() % 18) : pick({1, 5, 16, 19, 32, 33});
    return shape(pick({1, 2}), frames, in, out, width, dilation, left, right, pick({0, 2}));
}

std::vector<ConvShape> shapes(long n_random) {
    std::vector<ConvShape> all = {
        shape(0, 20, 4, 4, 9, 2, 8, 8),         // no sequence
        shape(2, 1, 16, 32, 9, 1, 4, 4),        // one frame
        shape(1, 5, 8, 8, 9, 4, 32, 0),         // fewer frames than the taps span
        shape(2, 30, 1, 1, 9, 2, 8, 8),         // one channel
        shape(2, 7, 16, 16, 3, 50, 50, 50),     // dilation beyond the data
        shape(1, 6, 16, 16, 9, 1000, 8000, 0),  // padding under most taps
        shape(1, 9, 8, 8, 3, 4, 0, 0),          // one frame left
        shape(1, 50, 6, 32, 9, 1, 40, 70),      // padding beyond the taps
        shape(1, 40, 64, 96, 3, 1, 1, 1),       // many channels
        shape(1, 40, 130, 48, 5, 1, 4, 0),     shape(2, 30, 48, 128, 9, 2, 8, 8, 5),
    };
    for (int64_t width = 2; width <= 33; width++) {
        all.push_back(shape(1, 40, 5, 18, width, 2, width - 1, width - 1));
    }
    for (long i = 0; i < n_random; i++) all.push_back(random_shape(i >= 25));
    return all;
}

}  // namespace

int main(int n_arguments, char** arguments) {
    const long n_random = n_arguments > 1 ? std::atol(arguments[1]) : 25;
    for (const std::string& isa : available_isas()) {
        use_isa(isa);
        engine.seed(0);
        const std::vector<ConvShape> all = shapes(n_random);
        for (const ConvShape& s : all) run_shape(s);
        run_elementwise(kernels().elementwise32);
        run_elementwise(kernels().elementwise64);
#ifdef DAART_FAST_BENCHMARKS
        if (!(kernels().fma_rate(2, 0.01) > 0)) failures++;
#endif
        std::printf("%s: %zu shapes, %d checks, %d failures\n", isa.c_str(), all.size(), checks,
                    failures);
        std::fflush(stdout);  // the next set may take an hour
    }
    return failures ? 1 : 0;
}
