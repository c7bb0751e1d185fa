// The losses of a training step on a GPU (contract.h says what they are), in plain C++: tensors are
// in the memory of the current device, work is queued on a stream, nothing waits. Sizes must be
// checked before, and every tensor must have fewer than 2^31 elements. A label that is no class
// makes the loss, or the agreement, NaN.
#pragma once

#include "interface.h"

namespace daart_fast::cuda {

constexpr int kMostClasses = 1024;

// Means over the batch, or over each sequence: scalars or (batch).
template <typename T>
struct HeadMeans {
    T *loss, *agreement;
    T* factor;  // (batch): 1 / the weight that the loss's sum is divided by
};

template <typename T>
struct LossPasses {
    // Bytes of the workspaces, aligned to 256 bytes, that the passes need.
    int64_t (*head_bytes)(const HeadShape&);
    int64_t (*head_grad_bytes)(const HeadShape&);
    int64_t (*error_bytes)(const ErrorShape&);

    // Two launches. bias, class_weights, unless, compared and mask may be null.
    void (*head)(const Queue&, const HeadShape&, bool by_sequence, const T* x, const T* weight,
                 const T* bias, const HeadLabels&, const T* class_weights, int64_t* targets,
                 T* slopes, const HeadMeans<T>&, void* workspace);

    // One or two launches. grad: the gradient of the mean or means. dx may be null; dweight and
    // dbias come both or neither.
    void (*head_grad)(const Queue&, const HeadShape&, bool by_sequence, const T* x, const T* weight,
                      const int64_t* targets, const T* slopes, const T* factor, const T* grad,
                      T* dx, T* dweight, T* dbias, void* workspace);

    // Two launches; means' agreement is not looked at.
    void (*error)(const Queue&, const ErrorShape&, bool by_sequence, const T* prediction,
                  const T* target, const bool* mask, const HeadMeans<T>&, void* workspace);

    // One launch.
    void (*error_grad)(const Queue&, const ErrorShape&, bool by_sequence, const T* prediction,
                       const T* target, const bool* mask, const T* factor, const T* grad,
                       T* dprediction);
};

extern const LossPasses<float> losses32;
extern const LossPasses<double> losses64;

}  // namespace daart_fast::cuda
