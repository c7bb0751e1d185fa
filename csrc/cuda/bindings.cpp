// The Python face of the CUDA kernels. As csrc/bindings.cpp: addresses and sizes come in, sizes are
// checked here once, the GIL is released. The callers in daart_fast/ops see to dtype, shape,
// contiguity and the tensors' device.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <stdexcept>
#include <type_traits>

#include "interface.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

void require(bool condition, const char* sentence) {
    if (!condition) throw std::invalid_argument(sentence);
}

// Calls call(passes) with the kind of numbers that Python names by its place here.
template <typename Call>
auto with_passes(int math, const Call& call) {
    switch (math) {
        case 0:
            return call(cuda::float32_passes);
        case 1:
            return call(cuda::tf32_passes);
        case 2:
            return call(cuda::bfloat16_passes);
        case 3:
            return call(cuda::float64_passes);
        default:
            throw std::invalid_argument(
                "math must be 0 (float32), 1 (tf32), 2 (bfloat16) or 3 (float64)");
    }
}

template <typename T>
T* pointer(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

Activation activation_of(int number) {
    require(number >= 0 && number <= 4, "activation must lie between 0 and 4");
    return static_cast<Activation>(number);
}

// The kernels count in 32 bits. In doubles, as the products of sizes may overflow.
void check_sizes(const ConvShape& s) {
    constexpr double kEnd = 2147483648.0;
    require(s.batch >= 0 && s.pad_left >= 0 && s.x_stride >= 0, "a size is negative");
    require(s.frames_in >= 1 && s.frames_out >= 1 && s.channels_in >= 1 && s.channels_out >= 1,
            "there must be at least one frame and one channel");
    require(s.width >= 1 && s.dilation >= 1, "width and dilation must be at least 1");
    const double span = double(s.dilation) * double(s.width - 1);
    const double padded = double(s.frames_out) + span;
    require(double(s.frames_in) + double(s.pad_left) <= padded,
            "frames_out is fewer than frames_in and the padding give");
    const double batch = s.batch > 1 ? double(s.batch) : 1.0;
    const double channels = double(s.channels_in > s.channels_out ? s.channels_in : s.channels_out);
    require(batch * padded * channels < kEnd && batch * double(s.x_stride) < kEnd &&
                double(s.width) * double(s.channels_in) * double(s.channels_out) < kEnd,
            "a tensor with its padding has 2^31 elements or more");
}

// batch, frames_in, frames_out, channels_in, channels_out, width, dilation, pad_left, x_stride
using ConvSizes = std::array<int64_t, 9>;
// those of BlockShape, and BlockTensors::mask_stride
using BlockSizes = std::array<int64_t, 9>;

ConvShape conv_shape(const ConvSizes& n) {
    const ConvShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[2] * n[4]};
    check_sizes(s);
    return s;
}

BlockShape block_shape(const BlockSizes& n, int activation) {
    const BlockShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], activation_of(activation)};
    ConvShape conv{
        s.batch,    s.frames, s.frames, s.channels_in, s.channels_hidden, s.width, s.dilation,
        s.pad_left, 0,        0};
    check_sizes(conv);
    conv.channels_in = s.channels_hidden;
    conv.channels_out = s.channels_out;
    check_sizes(conv);
    require(n[8] >= 0, "a stride is negative");
    return s;
}

cuda::Queue queue_of(int device, uintptr_t stream) {
    return {pointer<void>(stream), cuda::processors_of(device)};
}

int64_t conv_backward_bytes(int math, int device, const ConvSizes& sizes) {
    const ConvShape s = conv_shape(sizes);
    return with_passes(math, [&](const auto& passes) {
        return passes.conv_backward_bytes(s, cuda::processors_of(device));
    });
}

int64_t block_backward_bytes(int math, int device, const BlockSizes& sizes) {
    const BlockShape s = block_shape(sizes, 0);
    return with_passes(math, [&](const auto& passes) {
        return passes.block_backward_bytes(s, cuda::processors_of(device));
    });
}

template <typename P>
using StoredOf = typename std::decay_t<P>::Stored;

// x, weight, bias (or 0), y
void conv_forward(int math, int device, uintptr_t stream, const std::array<uintptr_t, 4>& a,
                  const ConvSizes& sizes, int activation) {
    const ConvShape s = conv_shape(sizes);
    const Activation named = activation_of(activation);
    if (s.batch == 0) return;
    require(a[0] && a[1] && a[3], "x, weight and y must not be null");
    const cuda::CurrentDevice current(device);
    with_passes(math, [&](const auto& passes) {
        using T = StoredOf<decltype(passes)>;
        passes.conv_forward(queue_of(device, stream), s, pointer<T>(a[0]), pointer<T>(a[1]),
                            pointer<T>(a[2]), named, pointer<T>(a[3]));
    });
}

// g, x, weight, y (or 0 where the activation is linear), dx, dweight, dbias (each or 0)
void conv_backward(int math, int device, uintptr_t stream, const std::array<uintptr_t, 7>& a,
                   uintptr_t workspace, const ConvSizes& sizes, int activation) {
    const ConvShape s = conv_shape(sizes);
    const Activation named = activation_of(activation);
    require(s.batch > 0, "backward needs a sequence");
    require(a[0] && a[1] && a[2] && workspace, "g, x, weight and workspace must not be null");
    require(named == Activation::linear || a[3], "the activation's derivative needs y");
    require(!a[6] || a[5], "the bias gradient comes with the weight gradient");
    const cuda::CurrentDevice current(device);
    with_passes(math, [&](const auto& passes) {
        using T = StoredOf<decltype(passes)>;
        passes.conv_backward(queue_of(device, stream), s, pointer<T>(a[0]), pointer<T>(a[1]),
                             pointer<T>(a[2]), pointer<T>(a[3]), named, pointer<T>(a[4]),
                             pointer<T>(a[5]), pointer<T>(a[6]), pointer<void>(workspace));
    });
}

// In the order of BlockTensors, Saved and BlockGradients.
using TensorList = std::array<uintptr_t, 11>;
using SavedList = std::array<uintptr_t, 4>;
using GradientList = std::array<uintptr_t, 9>;

void check_tensors(const BlockShape& s, const TensorList& a) {
    for (const size_t i : {0, 1, 2, 4, 5}) require(a[i], "x and the weights must not be null");
    require(s.channels_in == s.channels_out || a[7],
            "where the number of channels changes the residual needs weights");
}

template <typename T>
BlockTensors<T> block_tensors(const TensorList& a, const BlockSizes& sizes) {
    BlockTensors<T> t{};
    t.x = pointer<T>(a[0]);
    t.first = {pointer<T>(a[1]), pointer<T>(a[2]), pointer<T>(a[3])};
    t.second = {pointer<T>(a[4]), pointer<T>(a[5]), pointer<T>(a[6])};
    t.residual_weight = pointer<T>(a[7]);
    t.residual_bias = pointer<T>(a[8]);
    t.mask0 = pointer<T>(a[9]);
    t.mask1 = pointer<T>(a[10]);
    t.mask_stride = sizes[8];
    return t;
}

void block_forward_checked(int math, int device, uintptr_t stream, const TensorList& tensors,
                           const SavedList& saved, const BlockSizes& sizes, int activation) {
    const BlockShape s = block_shape(sizes, activation);
    if (s.batch == 0) return;
    check_tensors(s, tensors);
    require(saved[0] && saved[1], "y and hidden must not be null");
    const cuda::CurrentDevice current(device);
    with_passes(math, [&](const auto& passes) {
        using P = std::decay_t<decltype(passes)>;
        using T = typename P::Stored;
        passes.block_forward(queue_of(device, stream), s, block_tensors<T>(tensors, sizes),
                             {pointer<T>(saved[0]), pointer<T>(saved[1]), pointer<T>(saved[2]),
                              pointer<typename P::Sum>(saved[3])});
    });
}

void block_backward_checked(int math, int device, uintptr_t stream, const TensorList& tensors,
                            const SavedList& saved, uintptr_t dy, const GradientList& g,
                            uintptr_t workspace, const BlockSizes& sizes, int activation) {
    const BlockShape s = block_shape(sizes, activation);
    require(s.batch > 0, "backward needs a sequence");
    check_tensors(s, tensors);
    require(dy && workspace && saved[0] && saved[1] && saved[2] && saved[3],
            "backward needs the gradient, its workspace and what forward kept");
    for (const size_t i : {2, 4, 5}) {
        require(!g[1] == !g[i], "the gradients of the weights come all or none");
    }
    require(!g[7] || tensors[7], "there are no weights in the residual");
    require(!g[7] || g[1], "the residual's gradient comes with the other weights'");
    const cuda::CurrentDevice current(device);
    with_passes(math, [&](const auto& passes) {
        using P = std::decay_t<decltype(passes)>;
        using T = typename P::Stored;
        passes.block_backward(queue_of(device, stream), s, block_tensors<T>(tensors, sizes),
                              {pointer<T>(saved[0]), pointer<T>(saved[1]), pointer<T>(saved[2]),
                               pointer<typename P::Sum>(saved[3])},
                              pointer<T>(dy),
                              {pointer<T>(g[0]),
                               {pointer<T>(g[1]), pointer<T>(g[2]), pointer<T>(g[3])},
                               {pointer<T>(g[4]), pointer<T>(g[5]), pointer<T>(g[6])},
                               pointer<T>(g[7]),
                               pointer<T>(g[8])},
                              pointer<void>(workspace));
    });
}

}  // namespace

void register_cuda(py::module_& m) {
    const auto release = py::call_guard<py::gil_scoped_release>();
    m.def("cuda_conv_forward", &conv_forward, release);
    m.def("cuda_conv_backward", &conv_backward, release);
    m.def("cuda_conv_backward_bytes", &conv_backward_bytes, release,
          "Bytes of memory that cuda_conv_backward needs besides its tensors.");
    m.def("cuda_block_forward", &block_forward_checked, release);
    m.def("cuda_block_backward", &block_backward_checked, release);
    m.def("cuda_block_backward_bytes", &block_backward_bytes, release,
          "Bytes of memory that cuda_block_backward needs besides its tensors.");
    m.attr("cuda_version") = DAART_FAST_CUDA;
    m.attr("cuda_architectures") = DAART_FAST_CUDA_ARCHS;
}

}  // namespace daart_fast
