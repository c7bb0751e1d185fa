#include "passes.h"

namespace daart_fast::cuda {

const Passes<float> float32_passes = passes_of<Float32>();

}  // namespace daart_fast::cuda
