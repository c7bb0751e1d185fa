// A trained feed-forward network that takes one frame of each of several streams at a time.
//
// Every layer reads a ring: the last frames of what feeds it, written once, never moved. Frame t of
// a ring of `length` frames (a power of two) lies at t & (length - 1). All rings together are one
// block of memory, so that the state is that block and the number of frames seen.
//
// All that a layer adds up but for its newest tap is known before the frame comes. prepare() does
// it ahead of time, and step() then has only the newest taps left to do. Whoever doesn't call it
// loses nothing but the head start.
//
// A centred network runs as it is, only late: each layer answers when the last frame it reads has
// come, and the residual around two convolutions is read as many frames back as they are late.
//
// Rings start from what they would hold after endless frames of zeros, which is what a pass over a
// whole session starts from.
#pragma once

#include <cstdint>
#include <vector>

#include "../contract.h"

namespace daart_fast {

// A value as large is no measurement, and sums of it may overflow.
constexpr float kTooLarge = 1e18f;

// What turns a raw frame into the network's inputs:
//   input[c] = (raw[source[c]] - mean[c]) * scale[c]
// A value that is NaN or not below kTooLarge, or whose raw[likelihood[c]] lies below the threshold
// or, if that is above 0, is NaN (likelihood[c] of -1: there is none), is missing: the channel
// keeps the last value it had, and before the first its mean.
struct OnlineIntake {
    int64_t raw_channels = 0;
    std::vector<int64_t> source, likelihood;
    float threshold = 0;
    std::vector<float> mean, scale;
};

// One convolution. Ring 0 holds the network's inputs; layer i writes ring i + 1.
//   y = outer(activation(bias + sum over k of weight[k] * source[t - lag - (width - 1 - k) *
//   dilation]) + residual[t - residual_lag])
struct OnlineLayer {
    int64_t source, width, dilation, lag;
    int64_t channels_in, channels_out;
    int64_t residual, residual_lag;  // a ring, or -1
    Activation activation, outer;
    std::vector<float> weight, bias;  // (channels_out, channels_in, width), (channels_out)
};

enum class OnlineHead : int { softmax = 0, sigmoid = 1 };

class OnlineEngine {
  public:
    // hold > 0: the answer is for the frame that has just come, as if it stayed for `hold` frames
    // more. Throws std::invalid_argument where sizes don't fit together.
    OnlineEngine(OnlineIntake intake, std::vector<OnlineLayer> layers, OnlineHead head,
                 int64_t streams, int64_t hold);

    int64_t streams() const { return streams_; }
    int64_t raw_channels() const { return intake_.raw_channels; }
    int64_t classes() const { return layers_.back().spec.channels_out; }
    // Multiply-adds of one step.
    int64_t work() const { return work_; }
    // Channels of each stream (streams) that were missing in the last frame.
    const std::vector<int64_t>& held() const { return held_; }

    // raw (streams, raw_channels) -> probabilities (streams, classes). A null pointer is a frame
    // that is missing altogether. Allocates nothing, locks nothing, throws nothing.
    void step(const float* raw, float* probabilities);
    // A frame of zeros after normalisation: what lies beyond a session's end.
    void step_beyond(float* probabilities);
    void prepare();
    void reset();

    int64_t state_size() const { return int64_t(state_.size()); }
    const float* state() const { return state_.data(); }
    uint64_t frames() const { return frame_; }
    void load_state(const float* state, uint64_t frames);

  private:
    struct Ring {
        int64_t offset, channels, length;  // offset in state_
    };
    struct Layer {
        OnlineLayer spec;
        std::vector<float> packed, start, sums;  // start: the bias, once for each stream
        std::vector<const float*> taps;
    };

    float* frame_of(const Ring& ring, uint64_t frame) {
        return state_.data() + ring.offset +
               int64_t(frame & uint64_t(ring.length - 1)) * streams_ * ring.channels;
    }
    void settle();
    bool unsure(float likelihood) const;
    void take(const float* raw);
    void run(float* probabilities);
    void add(Layer& layer, int64_t first, int64_t last);
    void finish(const Layer& layer, const Ring& target);
    void answer(const float* scores, float* probabilities) const;

    OnlineKernels kernels_;
    OnlineIntake intake_;
    OnlineHead head_;
    int64_t streams_, hold_, work_ = 0;
    uint64_t frame_ = 0;
    bool prepared_ = false;
    std::vector<Layer> layers_;
    std::vector<Ring> rings_;
    std::vector<float> state_, initial_, spare_;
    std::vector<int64_t> held_;
    int64_t last_ = 0;  // where in state_ the last good input of each channel lies
};

}  // namespace daart_fast
