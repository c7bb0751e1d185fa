// Runs the online engine of every instruction set at odd shapes against plain loops over whole
// sessions, without Python, so that AddressSanitizer and UndefinedBehaviorSanitizer see each
// access.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "../../csrc/dispatch.h"
#include "../../csrc/online/engine.h"
#include "plain.h"

using namespace daart_fast;
using namespace plain;

namespace {
int64_t allocations = 0;
}

void* operator new(std::size_t size) {
    allocations++;
    void* p = std::malloc(size ? size : 1);
    if (!p) throw std::bad_alloc();
    return p;
}
void operator delete(void* p) noexcept {
    std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
    std::free(p);
}

namespace {

OnlineLayer layer(int64_t source, int64_t in, int64_t out, int64_t width, int64_t dilation) {
    const double size = 1 / std::sqrt(double(in * width));
    return {source,
            width,
            dilation,
            0,
            in,
            out,
            -1,
            0,
            Activation::linear,
            Activation::linear,
            random_vector<float>(out * in * width, size),
            random_vector<float>(out, 0.3)};
}

// A residual block that runs `late` frames late, and a classifier.
std::vector<OnlineLayer> network(int64_t in, int64_t hidden, int64_t classes, int64_t width,
                                 int64_t dilation, bool centred) {
    const int64_t late = centred ? (width - 1) * dilation : 0;
    std::vector<OnlineLayer> layers;
    layers.push_back(layer(0, in, hidden, 1, 1));
    layers.back().lag = late;
    layers.push_back(layer(0, in, hidden, width, dilation));
    layers.back().activation = Activation::lrelu;
    layers.push_back(layer(2, hidden, hidden, width, dilation));
    layers.back().activation = layers.back().outer = Activation::lrelu;
    layers.back().residual = 1;
    layers.push_back(layer(3, hidden, classes, 1, 1));
    return layers;
}

double lrelu(double v) {
    return v > 0 ? v : 0.05 * v;
}

using Frames = std::vector<std::vector<double>>;

// A layer's answer to every frame, from rings of zeros: `rest` frames of zeros come before the
// session, so that by then all layers are where an engine starts.
Frames run_layer(const OnlineLayer& l, const Frames& source, const Frames* residual) {
    Frames y(source.size(), std::vector<double>(size_t(l.channels_out)));
    for (int64_t t = 0; t < int64_t(source.size()); t++) {
        for (int64_t o = 0; o < l.channels_out; o++) {
            double sum = double(l.bias[size_t(o)]);
            for (int64_t k = 0; k < l.width; k++) {
                const int64_t from = t - l.lag - (l.width - 1 - k) * l.dilation;
                if (from < 0) continue;
                for (int64_t c = 0; c < l.channels_in; c++) {
                    sum += double(l.weight[size_t((o * l.channels_in + c) * l.width + k)]) *
                           source[size_t(from)][size_t(c)];
                }
            }
            if (l.activation == Activation::lrelu) sum = lrelu(sum);
            if (residual) sum += (*residual)[size_t(t)][size_t(o)];
            y[size_t(t)][size_t(o)] = l.outer == Activation::lrelu ? lrelu(sum) : sum;
        }
    }
    return y;
}

bool close_to_softmax(const float* got, const std::vector<double>& scores) {
    double sum = 0;
    for (double score : scores) sum += std::exp(score);
    for (size_t c = 0; c < scores.size(); c++) {
        if (!(std::fabs(double(got[c]) - std::exp(scores[c]) / sum) < 1e-5)) return false;
    }
    return true;
}

// Returns the number of frames that are wrong, or whose step allocated.
int run_case() {
    const int64_t in = pick({1, 3, 16, 35}), hidden = pick({1, 8, 17, 64}), classes = pick({2, 19});
    const int64_t width = pick({1, 3, 9}), dilation = pick({1, 4}), streams = pick({1, 2, 4, 5});
    const std::vector<OnlineLayer> layers =
        network(in, hidden, classes, width, dilation, engine() % 2);
    OnlineIntake intake;
    intake.raw_channels = in;
    for (int64_t c = 0; c < in; c++) {
        intake.source.push_back(in - 1 - c);
        intake.likelihood.push_back(-1);
    }
    intake.mean.assign(size_t(in), 0.5f);
    intake.scale.assign(size_t(in), 2.0f);
    OnlineEngine engine(intake, layers, OnlineHead::softmax, streams, 0);

    const int64_t n_frames = 40, rest = 4 * width * dilation;
    const std::vector<float> raw = random_vector<float>(n_frames * streams * in, 1);
    std::vector<float> answers(size_t(n_frames * streams * classes));
    int wrong = 0;
    for (int64_t t = 0; t < n_frames; t++) {
        const int64_t before = allocations;
        engine.step(raw.data() + t * streams * in, answers.data() + t * streams * classes);
        if (t % 2) engine.prepare();
        wrong += allocations != before;
        if (t != 20) continue;
        const std::vector<float> state(engine.state(), engine.state() + engine.state_size());
        engine.step(nullptr, answers.data() + t * streams * classes + streams * classes);
        engine.load_state(state.data(), uint64_t(t + 1));
    }
    for (int64_t r = 0; r < streams; r++) {
        Frames x(size_t(rest + n_frames), std::vector<double>(size_t(in)));
        for (int64_t t = 0; t < n_frames; t++) {
            for (int64_t c = 0; c < in; c++) {
                const float value = raw[size_t((t * streams + r) * in + in - 1 - c)];
                x[size_t(rest + t)][size_t(c)] = double((value - 0.5f) * 2.0f);
            }
        }
        const Frames residual = run_layer(layers[0], x, nullptr);
        const Frames first = run_layer(layers[1], x, nullptr);
        const Frames second = run_layer(layers[2], first, &residual);
        const Frames scores = run_layer(layers[3], second, nullptr);
        for (int64_t t = 0; t < n_frames; t++) {
            const float* answer = answers.data() + (t * streams + r) * classes;
            wrong += !close_to_softmax(answer, scores[size_t(rest + t)]);
        }
    }
    return wrong;
}

}  // namespace

int main() {
    int failures = 0;
    for (const std::string& isa : available_isas()) {
        use_isa(isa);
        engine.seed(0);
        const int before = failures;
        for (int i = 0; i < 40; i++) failures += run_case() > 0;
        std::printf("online %s: 40 networks, %d failures\n", isa.c_str(), failures - before);
    }
    return failures ? 1 : 0;
}
