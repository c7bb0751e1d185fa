// The whole loss of a segmenter with a dilated network, and its gradient, as one operation:
//   z = encoder(x)
//   loss = strong * cross-entropy of the hand-label head of z
//        + weak * that of the weak-label head, where there is no hand label
//        + predicted * squared error of a stack's prediction of x one frame later
//        + reconstructed * that of another stack's reconstruction of x
// each over the frames inside the padding. The parts are those of stack.h and LossKernels.
#pragma once

#include <array>
#include <vector>

#include "../stack.h"

namespace daart_fast {

// Bits of ObjectiveShape::heads, in the order of their parameters and weights.
enum Head : int { kStrongHead = 1, kWeakHead = 2, kPredictor = 4, kDecoder = 8 };
constexpr int kHeads = 4;

struct ObjectiveShape {
    int64_t batch, frames, inputs, classes;
    int64_t first, scored;  // the frames inside the padding
    int heads;
    std::vector<StackLayer> encoder, decoder;  // the predictor's layers are the decoder's
    Activation activation;
    int64_t ignored;                       // the class that does not count
    std::array<double, kHeads> weights{};  // of the loss's terms
};

template <typename T>
struct ObjectiveInputs {
    const T* x;                                                // (batch, frames, inputs)
    const bool* mask;                                          // (batch, frames), or null
    const int64_t *labels_strong, *labels_weak;                // (batch, frames)
    const T* class_weights;                                    // (classes), or null
    const T *encoder_masks, *predictor_masks, *decoder_masks;  // dropout, or null
};

// Parameters come in this order, as far as there are such: the encoder's stack; weight and bias of
// the hand-label head, and of the weak one; the predictor's stack, then weight and bias of its last
// layer; the decoder's.
int64_t objective_parameters(const ObjectiveShape&);

// How many elements of T forward keeps for backward.
template <typename T>
int64_t objective_saved_size(const ObjectiveShape&);

// values: loss, loss_weak, fc (how often the hand-label head agrees with the weak labels),
// loss_strong, loss_pred, loss_recon; those that do not exist are left alone.
// Returns the first label that is no class, or -1.
template <typename T>
int64_t objective_forward(const ObjectiveShape&, const ObjectiveInputs<T>&,
                          const std::vector<const T*>& parameters, T* values, T* saved,
                          int threads);

// The gradients of `upstream` times the loss.
template <typename T>
void objective_backward(const ObjectiveShape&, const ObjectiveInputs<T>&,
                        const std::vector<const T*>& parameters, const T* saved, T upstream,
                        const std::vector<T*>& gradients, int threads);

}  // namespace daart_fast
