// The Python face of the CUDA kernels with the kernels running on the processor: what Python hands
// over can be tested without a GPU. Its device has four processors, its memory is the host's.
#include "../../../csrc/cuda/interface.h"
#include "../../../csrc/python/register.h"

namespace daart_fast::cuda {

CurrentDevice::CurrentDevice(int device) : device_(device) {}
CurrentDevice::~CurrentDevice() = default;

int processors_of(int) {
    return 4;
}

}  // namespace daart_fast::cuda

PYBIND11_MODULE(cuda_on_cpu, m) {
    daart_fast::register_cuda(m);
}
