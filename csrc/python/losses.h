#pragma once

#include <stdexcept>

#include "arguments.h"

namespace daart_fast {

constexpr int64_t kMostChannels = int64_t(1) << 20;

// Far beyond any data, and small enough that no sum or product of sizes overflows.
inline void check_frames(int64_t batch, int64_t frames, int64_t channels, int64_t first,
                         int64_t scored, int64_t ahead) {
    constexpr int64_t kLongest = int64_t(1) << 36;
    require(batch >= 0 && frames >= 0 && channels >= 1, "sizes must not be negative");
    require(batch <= kMostChannels && frames <= kLongest && channels <= kMostChannels,
            "a size is beyond all bounds");
    require(first >= 0 && scored >= 0 && ahead >= 0, "frames must not be negative");
    require(first <= frames && scored <= frames - first && ahead <= frames - first - scored,
            "the frames that count do not lie within the sequence");
}

std::out_of_range no_such_class(int64_t label, int64_t classes);

inline void define_losses(pybind11::module_& m) {
    define<HeadSizes>(m);
    define<HeadTensors>(m);
    define<HeadGradients>(m);
    define<ErrorSizes>(m);
    define<ErrorTensors>(m);
    define<ErrorGradients>(m);
}

}  // namespace daart_fast
