#include "passes.h"

namespace daart_fast::cuda {

const Passes<double> float64_passes = passes_of<Float64>();

}  // namespace daart_fast::cuda
