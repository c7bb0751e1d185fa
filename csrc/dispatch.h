// Which instruction set runs, and whether a convolution goes direct or filtered.
#pragma once

#include <string>
#include <vector>

#include "contract.h"

namespace daart_fast {

enum class Method : int { automatic = 0, direct = 1, filtered = 2 };

// The sets this build has and this processor can run, best first.
std::vector<std::string> available_isas();
// Takes one of them ("" for the best); throws std::invalid_argument with a sentence otherwise.
void use_isa(const std::string& name);
const Kernels& kernels();

void use_method(Method method);
Method method();

// Does this pass of this shape run filtered, as things are set now?
bool runs_filtered(const ConvShape& shape, Pass pass);

// The kernels that run it.
template <typename T>
const ConvKernels<T>& kernels_for(const ConvShape& shape, Pass pass);
template <typename T>
const ElementwiseKernels<T>& elementwise_kernels();
template <typename T>
const LossKernels<T>& loss_kernels();

// As many of these threads as a convolution is worth: to wake one takes a microsecond, or several.
int worth_threads(const ConvShape& shape, int threads);

}  // namespace daart_fast
