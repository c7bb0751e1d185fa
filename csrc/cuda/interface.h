// What the kernels offer the rest of the native module, in plain C++: tensors are in the memory of
// the current device, work is queued on a stream, nothing is allocated, nothing waits. Sizes must
// be checked before (csrc/python/cuda.cpp) and every index must be below 2^31. An error of CUDA's
// is a std::runtime_error.
#pragma once

#include <type_traits>

#include "../block.h"

namespace daart_fast::cuda {

struct Bfloat16 {
    uint16_t bits;
};

// Makes a device the current one of this thread while it lives. Its number is CUDA's.
class CurrentDevice {
  public:
    explicit CurrentDevice(int device);
    ~CurrentDevice();
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

  private:
    int before_ = 0, device_;
};

int processors_of(int device);

struct Queue {
    void* stream;    // a cudaStream_t of the current device
    int processors;  // multiprocessors to keep busy
};

// What a block's forward pass makes, as BlockSaved. Norms are of the weights' rows:
// (channels_hidden + channels_out). Only y and hidden must be given where no backward pass follows.
template <typename Stored, typename Sum>
struct Saved {
    Stored *y, *hidden, *inner;
    Sum* norms;
    Stored *hidden_before, *y_before;
};

// The passes in one kind of numbers. Tensors hold Stored; Sum is what products are summed in.
// ..._bytes is the size of the workspace, aligned to 256 bytes, that a pass needs.
template <typename T>
struct Passes {
    using Stored = T;
    using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

    void (*conv_forward)(const Queue&, const ConvShape&, const T* x, const T* weight, const T* bias,
                         Activation, T* y);

    // g is the gradient of y, gate the activation's (contract.h, Epilogue). dx, dweight and dbias
    // (which comes with dweight) may be null.
    int64_t (*conv_backward_bytes)(const ConvShape&, int processors);
    void (*conv_backward)(const Queue&, const ConvShape&, const T* g, const T* x, const T* weight,
                          const T* gate, Activation, T* dx, T* dweight, T* dbias, void* workspace);

    void (*block_forward)(const Queue&, const BlockShape&, const BlockTensors<T>&,
                          const Saved<T, Sum>&);

    int64_t (*block_backward_bytes)(const BlockShape&, int processors);
    void (*block_backward)(const Queue&, const BlockShape&, const BlockTensors<T>&,
                           const Saved<const T, const Sum>&, const T* dy, const BlockGradients<T>&,
                           void* workspace);
};

extern const Passes<float> float32_passes, tf32_passes;  // tf32: products of 11 significant bits
extern const Passes<Bfloat16> bfloat16_passes;
extern const Passes<double> float64_passes;

}  // namespace daart_fast::cuda
