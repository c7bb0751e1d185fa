#pragma once

#include "arguments.h"

namespace daart_fast {

// Far beyond any data, and small enough that no sum or product of sizes overflows.
inline void check_convolution(const ConvShape& s) {
    constexpr int64_t kLargest = int64_t(1) << 40;
    constexpr double kMostElements = 1e18;
    require(s.batch >= 0, "batch must not be negative");
    require(s.frames_in >= 1 && s.frames_out >= 1, "there must be at least one frame");
    require(s.channels_in >= 1 && s.channels_out >= 1, "there must be at least one channel");
    require(s.width >= 1, "width must be at least 1");
    require(s.dilation >= 1, "dilation must be at least 1");
    require(s.pad_left >= 0, "padding must not be negative");
    require(s.x_stride >= 0, "the stride must not be negative");
    for (const int64_t size : {s.batch, s.frames_in, s.frames_out, s.channels_in, s.channels_out,
                               s.width, s.pad_left, s.x_stride}) {
        require(size <= kLargest, "a size is beyond 2^40");
    }
    require(s.dilation <= kLargest / s.width, "width * dilation is beyond 2^40");
    const auto elements = [](int64_t a, int64_t b, int64_t c) {
        return double(a < 1 ? 1 : a) * double(b) * double(c);
    };
    require(elements(s.batch, s.frames_in, s.channels_in) < kMostElements &&
                elements(s.batch, s.frames_out, s.channels_out) < kMostElements &&
                elements(s.width, s.channels_in, s.channels_out) < kMostElements,
            "a tensor has more than 10^18 elements");
    const int64_t pad_right = s.frames_out - s.frames_in - s.pad_left + s.dilation * (s.width - 1);
    require(pad_right >= 0, "frames_out is fewer than frames_in and the padding give");
}

}  // namespace daart_fast
