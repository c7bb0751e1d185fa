#include "engine.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "../dispatch.h"

namespace daart_fast {
namespace {

void require(bool condition, const std::string& sentence) {
    if (!condition) throw std::invalid_argument(sentence);
}

constexpr int64_t kLargest = int64_t(1) << 24;  // of any size: far beyond any network

int64_t power_of_two(int64_t at_least) {
    int64_t length = 1;
    while (length < at_least) length *= 2;
    return length;
}

void check(const OnlineIntake& intake) {
    const size_t n = intake.source.size();
    require(n >= 1 && intake.likelihood.size() == n && intake.mean.size() == n &&
                intake.scale.size() == n,
            "source, likelihood, mean and scale must have one value for each channel");
    require(intake.raw_channels >= 1 && intake.raw_channels <= kLargest,
            "raw_channels must lie between 1 and 2^24");
    for (size_t c = 0; c < n; c++) {
        require(intake.source[c] >= 0 && intake.source[c] < intake.raw_channels &&
                    intake.likelihood[c] >= -1 && intake.likelihood[c] < intake.raw_channels,
                "a channel's place lies beyond the raw frame");
    }
}

void check(const OnlineLayer& layer, size_t i, const std::vector<int64_t>& ring_channels) {
    const std::string name = "layer " + std::to_string(i) + ": ";
    for (int64_t size : {layer.width, layer.dilation, layer.channels_in, layer.channels_out}) {
        require(size >= 1 && size <= kLargest, name + "sizes must lie between 1 and 2^24");
    }
    require(layer.lag >= 0 && layer.lag <= kLargest && layer.residual_lag >= 0 &&
                layer.residual_lag <= kLargest && layer.width * layer.dilation <= kLargest,
            name + "it reaches further back than 2^24 frames");
    const auto rings = int64_t(ring_channels.size());
    require(
        layer.source >= 0 && layer.source < rings && layer.residual >= -1 && layer.residual < rings,
        name + "it reads a ring that no layer before it writes");
    require(ring_channels[size_t(layer.source)] == layer.channels_in,
            name + "its source has another number of channels");
    require(layer.residual < 0 || ring_channels[size_t(layer.residual)] == layer.channels_out,
            name + "its residual has another number of channels");
    require(int64_t(layer.weight.size()) == layer.channels_out * layer.channels_in * layer.width &&
                int64_t(layer.bias.size()) == layer.channels_out,
            name + "weight or bias has another shape");
}

}  // namespace

OnlineEngine::OnlineEngine(OnlineIntake intake, std::vector<OnlineLayer> layers, OnlineHead head,
                           int64_t streams, int64_t hold)
    : kernels_(kernels().online),
      intake_(std::move(intake)),
      head_(head),
      streams_(streams),
      hold_(hold) {
    check(intake_);
    require(streams >= 1 && streams <= 65536, "streams must lie between 1 and 65536");
    require(hold >= 0 && hold <= kLargest, "hold must lie between 0 and 2^24");
    require(!layers.empty(), "there must be at least one layer");

    std::vector<int64_t> channels = {int64_t(intake_.source.size())};
    for (size_t i = 0; i < layers.size(); i++) {
        check(layers[i], i, channels);
        channels.push_back(layers[i].channels_out);
    }
    // A ring is as long as the furthest look back into it.
    std::vector<int64_t> reach(channels.size(), 1);
    const auto reaches = [&](int64_t ring, int64_t back) {
        if (ring >= 0) reach[size_t(ring)] = std::max(reach[size_t(ring)], back + 1);
    };
    for (const OnlineLayer& layer : layers) {
        reaches(layer.source, layer.lag + (layer.width - 1) * layer.dilation);
        reaches(layer.residual, layer.residual_lag);
    }
    int64_t size = 0;
    for (size_t i = 0; i < channels.size(); i++) {
        rings_.push_back({size, channels[i], power_of_two(reach[i])});
        size += rings_[i].length * streams * channels[i];
    }
    last_ = size;
    size += streams * channels[0];
    state_.assign(size_t(size), 0.0f);
    if (hold) spare_.resize(state_.size());
    held_.assign(size_t(streams), 0);

    for (OnlineLayer& spec : layers) {
        Layer layer;
        const int64_t padded = kernels_.padded(spec.channels_out);
        layer.packed.resize(size_t(padded * spec.channels_in * spec.width));
        kernels_.pack(spec.channels_in, spec.channels_out, spec.width, spec.weight.data(),
                      layer.packed.data());
        layer.start.assign(size_t(padded * streams), 0.0f);
        for (int64_t r = 0; r < streams; r++) {
            std::copy(spec.bias.begin(), spec.bias.end(), layer.start.begin() + r * padded);
        }
        layer.sums.resize(layer.start.size());
        layer.taps.resize(size_t(spec.width));
        work_ += streams * spec.channels_in * spec.channels_out * spec.width;
        layer.spec = std::move(spec);
        layer.spec.weight.clear();
        layer.spec.weight.shrink_to_fit();
        layers_.push_back(std::move(layer));
    }
    if (hold) work_ *= hold + 1;

    settle();
    initial_ = state_;
    reset();
}

// Fills every ring with what its layer answers to endless zeros: layer by layer one frame,
// repeated.
void OnlineEngine::settle() {
    for (size_t i = 0; i < layers_.size(); i++) {
        Layer& layer = layers_[i];
        const Ring& target = rings_[i + 1];
        std::copy(layer.start.begin(), layer.start.end(), layer.sums.begin());
        add(layer, 0, layer.spec.width);
        finish(layer, target);
        const float* frame = frame_of(target, 0);
        const int64_t n = streams_ * target.channels;
        for (int64_t t = 1; t < target.length; t++)
            std::copy(frame, frame + n, frame_of(target, uint64_t(t)));
    }
}

void OnlineEngine::reset() {
    load_state(initial_.data(), 0);
}

void OnlineEngine::load_state(const float* state, uint64_t frames) {
    std::copy(state, state + state_.size(), state_.begin());
    std::fill(held_.begin(), held_.end(), 0);
    frame_ = frames;
    prepared_ = false;
}

bool OnlineEngine::unsure(float likelihood) const {
    const float threshold = intake_.threshold;
    return likelihood < threshold || (threshold > 0 && std::isnan(likelihood));
}

void OnlineEngine::take(const float* raw) {
    const auto n = int64_t(intake_.source.size());
    float* last = state_.data() + last_;
    for (int64_t r = 0; r < streams_; r++, last += n) {
        held_[size_t(r)] = raw ? 0 : n;
        if (!raw) continue;
        const float* own = raw + r * intake_.raw_channels;
        for (int64_t c = 0; c < n; c++) {
            const auto i = size_t(c);
            const float value = own[intake_.source[i]];
            const int64_t likelihood = intake_.likelihood[i];
            if (!(std::fabs(value) < kTooLarge) || (likelihood >= 0 && unsure(own[likelihood]))) {
                held_[size_t(r)]++;
            } else {
                last[c] = (value - intake_.mean[i]) * intake_.scale[i];
            }
        }
    }
    last = state_.data() + last_;
    std::copy(last, last + streams_ * n, frame_of(rings_[0], frame_));
}

void OnlineEngine::add(Layer& layer, int64_t first, int64_t last) {
    const OnlineLayer& s = layer.spec;
    for (int64_t k = first; k < last; k++) {
        const uint64_t back = uint64_t(s.lag + (s.width - 1 - k) * s.dilation);
        layer.taps[size_t(k)] = frame_of(rings_[size_t(s.source)], frame_ - back);
    }
    kernels_.add({layer.taps.data(), first, last, s.width, s.channels_in, s.channels_out, streams_},
                 layer.packed.data(), layer.sums.data());
}

// The taps that are known already: all but the newest, or all of a layer that runs late.
void OnlineEngine::prepare() {
    if (prepared_) return;
    for (Layer& layer : layers_) {
        std::copy(layer.start.begin(), layer.start.end(), layer.sums.begin());
        add(layer, 0, layer.spec.width - (layer.spec.lag == 0));
    }
    prepared_ = true;
}

void OnlineEngine::finish(const Layer& layer, const Ring& target) {
    const OnlineLayer& s = layer.spec;
    Epilogue<float> epilogue;
    epilogue.activation = s.activation;
    epilogue.outer = s.outer;
    if (s.residual >= 0) {
        epilogue.residual = frame_of(rings_[size_t(s.residual)], frame_ - uint64_t(s.residual_lag));
    }
    kernels_.finish(streams_, s.channels_out, layer.sums.data(), epilogue,
                    frame_of(target, frame_));
}

// Runs the layers on the frame that ring 0 holds.
void OnlineEngine::run(float* probabilities) {
    prepare();
    for (size_t i = 0; i < layers_.size(); i++) {
        Layer& layer = layers_[i];
        if (layer.spec.lag == 0) add(layer, layer.spec.width - 1, layer.spec.width);
        finish(layer, rings_[i + 1]);
    }
    if (probabilities) answer(frame_of(rings_.back(), frame_), probabilities);
    frame_++;
    prepared_ = false;
}

void OnlineEngine::step(const float* raw, float* probabilities) {
    take(raw);
    run(hold_ ? nullptr : probabilities);
    if (!hold_) return;
    // What is not known yet is supposed: the frame stays. Then the state is put back.
    std::copy(state_.begin(), state_.end(), spare_.begin());
    const auto n = int64_t(intake_.source.size());
    const float* last = state_.data() + last_;
    for (int64_t i = 1; i <= hold_; i++) {
        std::copy(last, last + streams_ * n, frame_of(rings_[0], frame_));
        run(i == hold_ ? probabilities : nullptr);
    }
    std::copy(spare_.begin(), spare_.end(), state_.begin());
    frame_ -= uint64_t(hold_);
}

void OnlineEngine::step_beyond(float* probabilities) {
    float* input = frame_of(rings_[0], frame_);
    std::fill(input, input + streams_ * rings_[0].channels, 0.0f);
    run(probabilities);
}

void OnlineEngine::answer(const float* scores, float* probabilities) const {
    const int64_t n = classes();
    for (int64_t r = 0; r < streams_; r++, scores += n, probabilities += n) {
        if (head_ == OnlineHead::sigmoid) {
            for (int64_t c = 0; c < n; c++) probabilities[c] = 1.0f / (1.0f + std::exp(-scores[c]));
            continue;
        }
        const float largest = *std::max_element(scores, scores + n);
        float sum = 0;
        for (int64_t c = 0; c < n; c++) sum += probabilities[c] = std::exp(scores[c] - largest);
        for (int64_t c = 0; c < n; c++) probabilities[c] /= sum;
    }
}

}  // namespace daart_fast
