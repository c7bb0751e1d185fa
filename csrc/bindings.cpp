// The Python face of the native module: every argument is checked here once, the GIL released, the
// table called. Tensors come as addresses, so that one build serves every torch version; the
// callers in daart_fast/ops hold the tensors and see to dtype, shape and contiguity.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "arguments.h"
#include "block.h"
#include "contract.h"
#include "dispatch.h"
#include "latency.h"
#include "online/register.h"
#include "stack.h"
#include "training/register.h"

#ifdef DAART_FAST_CUDA
#include "cuda/register.h"
#endif

#ifdef _OPENMP
#include <omp.h>
#endif

namespace py = pybind11;

namespace daart_fast {
namespace {

constexpr int kGradientSlot = 12;  // of scratch()

// Far beyond any data, and small enough that no sum or product of sizes overflows.
constexpr int64_t kLargest = int64_t(1) << 40;
constexpr double kMostElements = 1e18;

// Checks the sizes, and fills in y's stride: y and its gradient are contiguous.
void complete(ConvShape& s) {
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
    s.y_stride = s.frames_out * s.channels_out;
}

template <typename T>
void forward(const ConvShape& s, uintptr_t x, uintptr_t weight, uintptr_t bias, uintptr_t y,
             Activation activation, int threads) {
    Epilogue<T> epilogue;
    epilogue.bias = pointer<T>(bias);
    epilogue.activation = activation;
    kernels_for<T>(s, Pass::forward)
        .forward(s, pointer<T>(x), pointer<T>(weight), epilogue, pointer<T>(y),
                 worth_threads(s, threads));
}

template <typename T>
void backward(const ConvShape& s, uintptr_t g, uintptr_t x, uintptr_t weight, uintptr_t y,
              uintptr_t dx, uintptr_t dweight, uintptr_t dbias, Activation activation,
              int threads) {
    if (activation != Activation::linear) {
        const int64_t count = s.batch * s.y_stride;
        T* inner = scratch_of<T>(kGradientSlot, count);
        elementwise_kernels<T>().times_derivative(count, pointer<T>(g), pointer<T>(y), activation,
                                                  inner, threads);
        g = reinterpret_cast<uintptr_t>(inner);
    }
    if (dx) {
        ConvShape contiguous = s;
        contiguous.x_stride = s.frames_in * s.channels_in;
        kernels_for<T>(contiguous, Pass::input_grad)
            .input_grad(contiguous, pointer<T>(g), pointer<T>(weight), {}, pointer<T>(dx),
                        worth_threads(s, threads));
    }
    if (dweight) {
        kernels_for<T>(s, Pass::weight_grad)
            .weight_grad(s, pointer<T>(x), pointer<T>(g), pointer<T>(dweight), pointer<T>(dbias),
                         worth_threads(s, threads));
    }
}

void conv_forward(bool is_double, uintptr_t x, uintptr_t weight, uintptr_t bias, uintptr_t y,
                  int64_t batch, int64_t frames_in, int64_t frames_out, int64_t channels_in,
                  int64_t channels_out, int64_t width, int64_t dilation, int64_t pad_left,
                  int64_t x_stride, int activation, int threads) {
    ConvShape s{batch, frames_in, frames_out, channels_in, channels_out,
                width, dilation,  pad_left,   x_stride,    0};
    complete(s);
    check_threads(threads);
    const Activation named = activation_of(activation);
    if (batch == 0) return;
    require(x && weight && y, "x, weight and y must not be null");
    (is_double ? forward<double> : forward<float>)(s, x, weight, bias, y, named, threads);
}

void conv_backward(bool is_double, uintptr_t g, uintptr_t x, uintptr_t weight, uintptr_t y,
                   uintptr_t dx, uintptr_t dweight, uintptr_t dbias, int64_t batch,
                   int64_t frames_in, int64_t frames_out, int64_t channels_in, int64_t channels_out,
                   int64_t width, int64_t dilation, int64_t pad_left, int64_t x_stride,
                   int activation, int threads) {
    ConvShape s{batch, frames_in, frames_out, channels_in, channels_out,
                width, dilation,  pad_left,   x_stride,    0};
    complete(s);
    check_threads(threads);
    const Activation named = activation_of(activation);
    require(!dbias || dweight, "the bias gradient comes with the weight gradient");
    require(batch == 0 || g, "g must not be null");
    require(batch == 0 || activation == 0 || y, "the activation's derivative needs y");
    require(batch == 0 || !dx || weight, "the input gradient needs weight");
    require(batch == 0 || !dweight || x, "the weight gradient needs x");
    (is_double ? backward<double> : backward<float>)(s, g, x, weight, y, dx, dweight, dbias, named,
                                                     threads);
}

// A block's tensors, what forward keeps for backward, and its gradients come as lists of addresses
// in the order of BlockTensors, BlockSaved and BlockGradients; its sizes in that of BlockShape.
using TensorList = std::array<uintptr_t, 11>;
using SavedList = std::array<uintptr_t, 4>;
using GradientList = std::array<uintptr_t, 9>;
using SizeList = std::array<int64_t, 8>;

BlockShape block_shape(const SizeList& n, int activation, int threads, const TensorList& tensors) {
    const BlockShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], activation_of(activation)};
    check_threads(threads);
    ConvShape first{
        s.batch,    s.frames, s.frames, s.channels_in, s.channels_hidden, s.width, s.dilation,
        s.pad_left, 0,        0};
    complete(first);
    ConvShape second = first;
    second.channels_in = s.channels_hidden;
    second.channels_out = s.channels_out;
    complete(second);
    const bool parameters = tensors[1] && tensors[2] && tensors[4] && tensors[5];
    require(parameters, "the weights must not be null");
    require(s.batch == 0 || tensors[0], "x must not be null");
    require(s.channels_in == s.channels_out || tensors[7],
            "where the number of channels changes the residual needs weights");
    return s;
}

template <typename T>
BlockTensors<T> block_tensors(const TensorList& a) {
    return {pointer<T>(a[0]),
            {pointer<T>(a[1]), pointer<T>(a[2]), pointer<T>(a[3])},
            {pointer<T>(a[4]), pointer<T>(a[5]), pointer<T>(a[6])},
            pointer<T>(a[7]),
            pointer<T>(a[8]),
            pointer<T>(a[9]),
            pointer<T>(a[10]),
            0};
}

template <typename T>
void block_forward_of(const BlockShape& s, const TensorList& tensors, const SavedList& saved,
                      int threads) {
    block_forward<T>(
        s, whole_block(s), block_tensors<T>(tensors),
        {pointer<T>(saved[0]), pointer<T>(saved[1]), pointer<T>(saved[2]), pointer<T>(saved[3])},
        threads);
}

template <typename T>
void block_backward_of(const BlockShape& s, const TensorList& tensors, const SavedList& saved,
                       uintptr_t dy, const GradientList& g, int threads) {
    block_backward<T>(
        s, whole_block(s), block_tensors<T>(tensors),
        {pointer<T>(saved[0]), pointer<T>(saved[1]), pointer<T>(saved[2]), pointer<T>(saved[3])},
        pointer<T>(dy),
        {pointer<T>(g[0]),
         {pointer<T>(g[1]), pointer<T>(g[2]), pointer<T>(g[3])},
         {pointer<T>(g[4]), pointer<T>(g[5]), pointer<T>(g[6])},
         pointer<T>(g[7]),
         pointer<T>(g[8])},
        threads);
}

void block_forward_checked(bool is_double, const TensorList& tensors, const SavedList& saved,
                           const SizeList& sizes, int activation, int threads) {
    const BlockShape s = block_shape(sizes, activation, threads, tensors);
    if (s.batch > 0) require(saved[0], "y must not be null");
    (is_double ? block_forward_of<double> : block_forward_of<float>)(s, tensors, saved, threads);
}

void block_backward_checked(bool is_double, const TensorList& tensors, const SavedList& saved,
                            uintptr_t dy, const GradientList& gradients, const SizeList& sizes,
                            int activation, int threads) {
    const BlockShape s = block_shape(sizes, activation, threads, tensors);
    require(s.batch == 0 || (dy && saved[0] && saved[1] && saved[2]),
            "backward needs the gradient and what forward kept");
    require(saved[3], "backward needs the weights that forward kept");
    for (const int i : {2, 4, 5}) {
        require(!gradients[1] == !gradients[size_t(i)],
                "the gradients of the weights come all or none");
    }
    require(!gradients[7] || tensors[7], "there are no weights in the residual");
    (is_double ? block_backward_of<double> : block_backward_of<float>)(s, tensors, saved, dy,
                                                                       gradients, threads);
}

// A stack's sizes: batch, frames, channels in, first wanted frame, how many.
using StackSizes = std::array<int64_t, 5>;

StackShape stack_shape(const StackSizes& n, const std::vector<int64_t>& layers, int activation,
                       int threads) {
    const StackShape s{
        n[0], n[1], n[2], layers_of(layers), {n[3], n[3] + n[4]}, activation_of(activation)};
    check_threads(threads);
    require(!s.layers.empty(), "there must be a block");
    int64_t channels = s.channels_in;
    for (const StackLayer& l : s.layers) {
        ConvShape conv{s.batch, s.frames,   s.frames,   channels, l.channels_hidden,
                       l.width, l.dilation, l.pad_left, 0,        0};
        complete(conv);
        conv.channels_in = l.channels_hidden;
        conv.channels_out = l.channels_out;
        complete(conv);
        channels = l.channels_out;
    }
    check_stack_sizes(s.batch, s.frames, s.channels_in, s.layers);
    require(n[3] >= 0 && n[3] < s.frames && n[4] >= 1 && n[4] <= s.frames - n[3],
            "the wanted frames do not lie within the sequence");
    return s;
}

template <typename U>
std::vector<StackParameters<U>> stack_parameters(const std::vector<uintptr_t>& a) {
    std::vector<StackParameters<U>> made;
    for (size_t i = 0; i < a.size(); i += kBlockParameters) {
        made.push_back({{pointer<U>(a[i]), pointer<U>(a[i + 1]), pointer<U>(a[i + 2])},
                        {pointer<U>(a[i + 3]), pointer<U>(a[i + 4]), pointer<U>(a[i + 5])},
                        pointer<U>(a[i + 6]),
                        pointer<U>(a[i + 7])});
    }
    return made;
}

void check_parameters(const StackShape& s, const std::vector<uintptr_t>& parameters) {
    require(parameters.size() == s.layers.size() * kBlockParameters,
            "there must be eight parameters for each block");
    check_stack(s.layers, s.channels_in, parameters.data());
}

int64_t stack_saved(const StackSizes& sizes, const std::vector<int64_t>& layers) {
    return stack_saved_size(stack_shape(sizes, layers, 0, 1));
}

void stack_forward_checked(bool is_double, uintptr_t x, const std::vector<uintptr_t>& parameters,
                           uintptr_t masks, uintptr_t y, uintptr_t saved, const StackSizes& sizes,
                           const std::vector<int64_t>& layers, int activation, int threads) {
    const StackShape s = stack_shape(sizes, layers, activation, threads);
    check_parameters(s, parameters);
    require(s.batch == 0 || (x && y), "x and y must not be null");
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        stack_forward<T>(s, pointer<T>(x), stack_parameters<const T>(parameters), pointer<T>(masks),
                         pointer<T>(y), pointer<T>(saved), threads);
    };
    is_double ? run(double()) : run(float());
}

void stack_backward_checked(bool is_double, uintptr_t x, const std::vector<uintptr_t>& parameters,
                            uintptr_t masks, uintptr_t y, uintptr_t saved, uintptr_t dy,
                            uintptr_t dx, const std::vector<uintptr_t>& gradients,
                            const StackSizes& sizes, const std::vector<int64_t>& layers,
                            int activation, int threads) {
    const StackShape s = stack_shape(sizes, layers, activation, threads);
    check_parameters(s, parameters);
    require(s.batch == 0 || (x && y && dy), "x, y and its gradient must not be null");
    require(saved, "backward needs what forward kept");
    if (!gradients.empty()) check_gradients(gradients, parameters);
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        stack_backward<T>(s, pointer<T>(x), stack_parameters<const T>(parameters),
                          pointer<T>(masks), pointer<T>(y), pointer<T>(saved), pointer<T>(dy),
                          pointer<T>(dx), stack_parameters<T>(gradients), threads);
    };
    is_double ? run(double()) : run(float());
}

bool says_filtered(int pass, int64_t batch, int64_t frames_in, int64_t frames_out,
                   int64_t channels_in, int64_t channels_out, int64_t width, int64_t dilation,
                   int64_t pad_left) {
    require(pass >= 0 && pass <= 2, "pass must lie between 0 and 2");
    ConvShape s{batch, frames_in, frames_out, channels_in, channels_out,
                width, dilation,  pad_left,   0,           0};
    complete(s);
    return runs_filtered(s, static_cast<Pass>(pass));
}

void set_method(int number) {
    require(number >= 0 && number <= 2, "method must be 0 (auto), 1 (direct) or 2 (filtered)");
    use_method(static_cast<Method>(number));
}

double fma_rate(int threads, double seconds) {
    check_threads(threads);
    require(seconds > 0 && seconds <= 60, "seconds must lie between 0 and 60");
    return kernels().fma_rate(threads, seconds);
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "Native kernels of daart_fast. Use daart_fast.ops.";
    const auto release = py::call_guard<py::gil_scoped_release>();
    m.def("conv_forward", &conv_forward, release);
    m.def("conv_backward", &conv_backward, release);
    m.def("block_forward", &block_forward_checked, release);
    m.def("block_backward", &block_backward_checked, release);
    m.def("stack_saved", &stack_saved, "Elements that stack_forward keeps for backward.");
    m.def("stack_forward", &stack_forward_checked, release);
    m.def("stack_backward", &stack_backward_checked, release);
    m.def("fma_rate", &fma_rate, release, "Multiply-adds per second out of registers, float32.");
    m.def("round_trip", &round_trip, release,
          "Seconds that a word takes from one core to another and back.");
    m.def("isas", &available_isas, "Instruction sets this processor can run, best first.");
    m.def("isa", [] { return std::string(kernels().isa); });
    m.def("set_isa", &use_isa, "Use one of isas(); '' is the best.");
    m.def("set_method", &set_method, "0: whatever pays, 1: direct, 2: filtered where it can be.");
    m.def("method", [] { return static_cast<int>(method()); });
    m.def("runs_filtered", &says_filtered,
          "Whether this pass (0 forward, 1 input gradient, 2 weight gradient) goes filtered.");
    register_online(m);
    register_training(m);
#ifdef DAART_FAST_CUDA
    register_cuda(m);
    register_cuda_losses(m);
#endif
#ifdef _OPENMP
    m.attr("openmp") = true;
#else
    m.attr("openmp") = false;
#endif
#ifdef __VERSION__
    m.attr("compiler") = __VERSION__;
#else
    m.attr("compiler") = "unknown";
#endif
}

}  // namespace daart_fast
