// The activations: names and numbers for Python, the CPU's code (cpu/epilogue.h) and CUDA's
// (cuda/finish.h).
#pragma once

namespace daart_fast {

// X(name, of_output): whether the derivative is a function of the activation's output. Where it is
// not, what the activation was applied to is kept for the backward pass.
#define DAART_FAST_ACTIVATIONS(X) \
    X(linear, true)               \
    X(relu, true)                 \
    X(lrelu, true)                \
    X(sigmoid, true)              \
    X(tanh, true)                 \
    X(silu, false)

enum class Activation : int {
#define DAART_FAST_ENUM(name, of_output) name,
    DAART_FAST_ACTIVATIONS(DAART_FAST_ENUM)
#undef DAART_FAST_ENUM
};

struct ActivationRow {
    const char* name;
    bool of_output;
};

constexpr ActivationRow kActivations[] = {
#define DAART_FAST_ROW(name, of_output) {#name, of_output},
    DAART_FAST_ACTIVATIONS(DAART_FAST_ROW)
#undef DAART_FAST_ROW
};
constexpr int kActivationCount = int(sizeof kActivations / sizeof kActivations[0]);

constexpr bool of_output(Activation activation) {
    return kActivations[int(activation)].of_output;
}

// lrelu's below zero
constexpr double kLeakySlope = 0.05;

}  // namespace daart_fast
