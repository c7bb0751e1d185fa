// The CUDA kernels for Python. The callers in daart_fast/ops see to the tensors' device besides.
#include "cuda.h"

#include <type_traits>

#include "../cuda/interface.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {

DAART_FAST_STRUCT(BlockSizes, int64_t, batch, frames, channels_in, channels_hidden, channels_out,
                  width, dilation, pad_left, mask_stride);
DAART_FAST_STRUCT(BlockInputs, uintptr_t, x, v0, gain0, bias0, v1, gain1, bias1, residual_weight,
                  residual_bias, mask0, mask1);
DAART_FAST_STRUCT(BlockOutputs, uintptr_t, y, hidden, inner, norms, hidden_before, y_before);
// Of each leaf among the inputs, or 0.
DAART_FAST_STRUCT(BlockLeaves, uintptr_t, x, v0, gain0, bias0, v1, gain1, bias1, residual_weight,
                  residual_bias);

namespace {

// Calls run(passes) with the kind of numbers that Python names by its place here.
template <typename Run>
auto with_passes(uintptr_t math, const Run& run) {
    switch (math) {
        case 0:
            return run(cuda::float32_passes);
        case 1:
            return run(cuda::tf32_passes);
        case 2:
            return run(cuda::bfloat16_passes);
        case 3:
            return run(cuda::float64_passes);
        default:
            throw std::invalid_argument(
                "math must be 0 (float32), 1 (tf32), 2 (bfloat16) or 3 (float64)");
    }
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

ConvShape checked(const ConvSizes& sizes) {
    const ConvShape s = conv_shape(sizes);
    check_sizes(s);
    return s;
}

BlockShape checked(const BlockSizes& n, int activation) {
    const BlockShape s{n.batch, n.frames,   n.channels_in, n.channels_hidden,        n.channels_out,
                       n.width, n.dilation, n.pad_left,    activation_of(activation)};
    ConvShape conv{
        s.batch,    s.frames, s.frames, s.channels_in, s.channels_hidden, s.width, s.dilation,
        s.pad_left, 0,        0};
    check_sizes(conv);
    conv.channels_in = s.channels_hidden;
    conv.channels_out = s.channels_out;
    check_sizes(conv);
    require(n.mask_stride >= 0, "a stride is negative");
    return s;
}

template <typename P>
using StoredOf = typename std::decay_t<P>::Stored;

void conv_forward(const CudaCall& call, const ConvSizes& sizes, const ConvTensors& t,
                  int activation) {
    const ConvShape s = checked(sizes);
    const Activation named = activation_of(activation);
    if (s.batch == 0) return;
    require(t.x && t.weight && t.y, "x, weight and y must not be null");
    const cuda::CurrentDevice current(int(call.device));
    with_passes(call.math, [&](const auto& passes) {
        using T = StoredOf<decltype(passes)>;
        passes.conv_forward(queue_of(call), s, pointer<T>(t.x), pointer<T>(t.weight),
                            pointer<T>(t.bias), named, pointer<T>(t.y));
    });
}

int64_t conv_backward_bytes(const CudaCall& call, const ConvSizes& sizes) {
    const ConvShape s = checked(sizes);
    return with_passes(call.math, [&](const auto& passes) {
        return passes.conv_backward_bytes(s, cuda::processors_of(int(call.device)));
    });
}

void conv_backward(const CudaCall& call, const ConvSizes& sizes, const ConvGradients& t,
                   int activation) {
    const ConvShape s = checked(sizes);
    const Activation named = activation_of(activation);
    require(s.batch > 0, "backward needs a sequence");
    require(t.grad && t.x && t.weight && call.workspace,
            "the gradient, x, weight and workspace must not be null");
    require(named == Activation::linear || t.gate, "the activation's derivative needs its gate");
    require(!t.dbias || t.dweight, "the bias gradient comes with the weight gradient");
    const cuda::CurrentDevice current(int(call.device));
    with_passes(call.math, [&](const auto& passes) {
        using T = StoredOf<decltype(passes)>;
        passes.conv_backward(queue_of(call), s, pointer<T>(t.grad), pointer<T>(t.x),
                             pointer<T>(t.weight), pointer<T>(t.gate), named, pointer<T>(t.dx),
                             pointer<T>(t.dweight), pointer<T>(t.dbias),
                             pointer<void>(call.workspace));
    });
}

void check_inputs(const BlockShape& s, const BlockInputs& t) {
    require(t.x && t.v0 && t.gain0 && t.v1 && t.gain1, "x and the weights must not be null");
    require(s.channels_in == s.channels_out || t.residual_weight,
            "where the number of channels changes the residual needs weights");
}

template <typename T>
BlockTensors<T> block_tensors(const BlockInputs& t, const BlockSizes& sizes) {
    return {pointer<T>(t.x),
            {pointer<T>(t.v0), pointer<T>(t.gain0), pointer<T>(t.bias0)},
            {pointer<T>(t.v1), pointer<T>(t.gain1), pointer<T>(t.bias1)},
            pointer<T>(t.residual_weight),
            pointer<T>(t.residual_bias),
            pointer<T>(t.mask0),
            pointer<T>(t.mask1),
            sizes.mask_stride};
}

template <typename T, typename Sum>
cuda::Saved<T, Sum> saved_of(const BlockOutputs& t) {
    return {pointer<T>(t.y),       pointer<T>(t.hidden),        pointer<T>(t.inner),
            pointer<Sum>(t.norms), pointer<T>(t.hidden_before), pointer<T>(t.y_before)};
}

void block_forward_checked(const CudaCall& call, const BlockSizes& sizes, const BlockInputs& inputs,
                           const BlockOutputs& outputs, int activation) {
    const BlockShape s = checked(sizes, activation);
    if (s.batch == 0) return;
    check_inputs(s, inputs);
    require(outputs.y && outputs.hidden, "y and hidden must not be null");
    const cuda::CurrentDevice current(int(call.device));
    with_passes(call.math, [&](const auto& passes) {
        using P = std::decay_t<decltype(passes)>;
        using T = typename P::Stored;
        passes.block_forward(queue_of(call), s, block_tensors<T>(inputs, sizes),
                             saved_of<T, typename P::Sum>(outputs));
    });
}

int64_t block_backward_bytes(const CudaCall& call, const BlockSizes& sizes) {
    const BlockShape s = checked(sizes, 0);
    return with_passes(call.math, [&](const auto& passes) {
        return passes.block_backward_bytes(s, cuda::processors_of(int(call.device)));
    });
}

void block_backward_checked(const CudaCall& call, const BlockSizes& sizes,
                            const BlockInputs& inputs, const BlockOutputs& saved, uintptr_t dy,
                            const BlockLeaves& g, int activation) {
    const BlockShape s = checked(sizes, activation);
    require(s.batch > 0, "backward needs a sequence");
    check_inputs(s, inputs);
    require(dy && call.workspace && saved.y && saved.hidden && saved.inner && saved.norms,
            "backward needs the gradient, its workspace and what forward kept");
    require(of_output(s.activation) || (saved.hidden_before && saved.y_before),
            "this activation's derivative needs what the activation was applied to");
    require(!g.v0 == !g.gain0 && !g.v0 == !g.v1 && !g.v0 == !g.gain1,
            "the gradients of the weights come all or none");
    require(!g.residual_weight || inputs.residual_weight, "there are no weights in the residual");
    require(!g.residual_weight || g.v0, "the residual's gradient comes with the other weights'");
    const cuda::CurrentDevice current(int(call.device));
    with_passes(call.math, [&](const auto& passes) {
        using P = std::decay_t<decltype(passes)>;
        using T = typename P::Stored;
        passes.block_backward(queue_of(call), s, block_tensors<T>(inputs, sizes),
                              saved_of<const T, const typename P::Sum>(saved), pointer<T>(dy),
                              {pointer<T>(g.x),
                               {pointer<T>(g.v0), pointer<T>(g.gain0), pointer<T>(g.bias0)},
                               {pointer<T>(g.v1), pointer<T>(g.gain1), pointer<T>(g.bias1)},
                               pointer<T>(g.residual_weight),
                               pointer<T>(g.residual_bias)},
                              pointer<void>(call.workspace));
    });
}

}  // namespace

void register_cuda(py::module_& m) {
    define<CudaCall>(m);
    define<ConvSizes>(m);
    define<ConvTensors>(m);
    define<ConvGradients>(m);
    define<BlockSizes>(m);
    define<BlockInputs>(m);
    define<BlockOutputs>(m);
    define<BlockLeaves>(m);
    const auto release = py::call_guard<py::gil_scoped_release>();
    const auto call = py::arg("call"), sizes = py::arg("sizes"), tensors = py::arg("tensors"),
               activation = py::arg("activation");
    m.def("cuda_conv_forward", &conv_forward, release, call, sizes, tensors, activation);
    m.def("cuda_conv_backward", &conv_backward, release, call, sizes, tensors, activation);
    m.def("cuda_conv_backward_bytes", &conv_backward_bytes, release, call, sizes,
          "Bytes of workspace that cuda_conv_backward needs.");
    m.def("cuda_block_forward", &block_forward_checked, release, call, sizes, py::arg("inputs"),
          py::arg("outputs"), activation);
    m.def("cuda_block_backward", &block_backward_checked, release, call, sizes, py::arg("inputs"),
          py::arg("saved"), py::arg("dy"), py::arg("gradients"), activation);
    m.def("cuda_block_backward_bytes", &block_backward_bytes, release, call, sizes,
          "Bytes of workspace that cuda_block_backward needs.");
    m.attr("cuda_version") = DAART_FAST_CUDA;
    m.attr("cuda_architectures") = DAART_FAST_CUDA_ARCHS;
}

}  // namespace daart_fast
