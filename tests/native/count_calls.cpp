// Runs one convolution a number of times, for those who count instructions: what the second call
// takes is the difference. Usage: count_calls ISA direct|filtered forward|input|weight CALLS
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../csrc/dispatch.h"
#include "plain.h"

using namespace daart_fast;
using namespace plain;

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: count_calls ISA direct|filtered forward|input|weight CALLS\n");
        return 2;
    }
    use_isa(argv[1]);
    constexpr int64_t kFrames = 240, kChannels = 32, kWidth = 9;
    ConvShape s{1, kFrames, kFrames, kChannels, kChannels, kWidth, 1, 4, 0, 0};
    s.x_stride = s.y_stride = kFrames * kChannels;
    const auto x = random_vector<float>(s.x_stride), g = random_vector<float>(s.y_stride);
    const auto weight = random_vector<float>(kChannels * kChannels * kWidth);
    std::vector<float> y(x.size()), dweight(weight.size()), dbias(kChannels);
    const Kernels& k = kernels();
    const ConvKernels<float>& conv = std::string(argv[2]) == "filtered" ? k.filtered32 : k.direct32;
    const std::string pass = argv[3];
    for (long call = std::atol(argv[4]); call > 0; call--) {
        if (pass == "forward") conv.forward(s, x.data(), weight.data(), {}, y.data(), 1);
        if (pass == "input") conv.input_grad(s, g.data(), weight.data(), {}, y.data(), 1);
        if (pass == "weight") {
            conv.weight_grad(s, x.data(), g.data(), dweight.data(), dbias.data(), 1);
        }
    }
    return 0;
}
