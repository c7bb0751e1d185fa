#include "passes.h"

namespace daart_fast::cuda {

const Passes<float> tf32_passes = passes_of<Tf32>();

}  // namespace daart_fast::cuda
