// Stacks of blocks as Python hands them over: a stack's layers come as five numbers each, in
// StackLayer's order, its parameters as eight addresses for each block, in that of StackParameters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "../stack.h"
#include "arguments.h"

namespace daart_fast {

constexpr std::size_t kLayerSizes = 5;

inline std::vector<StackLayer> layers_of(const std::vector<int64_t>& sizes) {
    // far beyond any network, and small enough that no product of them overflows
    constexpr int64_t kMost = int64_t(1) << 20, kFarthest = int64_t(1) << 36;
    require(sizes.size() % kLayerSizes == 0 && sizes.size() <= 64 * kLayerSizes,
            "there must be five sizes for each block, and at most 64 blocks");
    std::vector<StackLayer> layers;
    for (std::size_t i = 0; i < sizes.size(); i += kLayerSizes) {
        const StackLayer l{sizes[i], sizes[i + 1], sizes[i + 2], sizes[i + 3], sizes[i + 4]};
        require(l.channels_hidden >= 1 && l.channels_out >= 1,
                "there must be at least one channel");
        require(l.width >= 1, "width must be at least 1");
        require(l.dilation >= 1, "dilation must be at least 1");
        require(l.channels_hidden <= kMost && l.channels_out <= kMost && l.width <= kMost &&
                    l.dilation <= kFarthest,
                "a size of a block is beyond all bounds");
        require(l.pad_left >= 0 && l.pad_left <= l.dilation * (l.width - 1),
                "padding must lie within the taps");
        layers.push_back(l);
    }
    return layers;
}

inline void check_elements(int64_t a, int64_t b, int64_t c) {
    // of hundreds of tensors: their sum does not overflow either
    constexpr double kMost = 1e15;
    require(double(a < 1 ? 1 : a) * double(b) * double(c) < kMost,
            "a tensor has more than 10^15 elements");
}

// What a stack keeps, and its weights.
inline void check_stack_sizes(int64_t batch, int64_t frames, int64_t channels_in,
                              const std::vector<StackLayer>& layers) {
    for (const StackLayer& l : layers) {
        const int64_t widest = std::max({channels_in, l.channels_hidden, l.channels_out});
        check_elements(batch, frames, widest);
        check_elements(widest, widest, l.width);
        channels_in = l.channels_out;
    }
}

// What may be null among a stack's parameters: biases, and a residual that nothing changes.
inline void check_stack(const std::vector<StackLayer>& layers, int64_t channels_in,
                        const uintptr_t* parameters) {
    for (const StackLayer& layer : layers) {
        require(parameters[0] && parameters[1] && parameters[3] && parameters[4],
                "the weights must not be null");
        require(parameters[6] || channels_in == layer.channels_out,
                "where the number of channels changes the residual needs weights");
        channels_in = layer.channels_out;
        parameters += kBlockParameters;
    }
}

inline void check_gradients(const std::vector<uintptr_t>& gradients,
                            const std::vector<uintptr_t>& parameters) {
    require(gradients.size() == parameters.size(), "each parameter must have its gradient");
    for (std::size_t i = 0; i < gradients.size(); i++) {
        require(!gradients[i] == !parameters[i], "each parameter must have its gradient");
    }
}

}  // namespace daart_fast
