#include <stdexcept>
#include <string>

#include "device.h"
#include "interface.h"

namespace daart_fast::cuda {

void check(cudaError_t error, const char* call) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // so that the next call does not answer with this one's error
    throw std::runtime_error("CUDA: " + std::string(call) + " failed: " +
                             cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

CurrentDevice::CurrentDevice(int device) : device_(device) {
    check(cudaGetDevice(&before_), "asking for the current device");
    if (before_ != device_) check(cudaSetDevice(device_), "choosing the device");
}

CurrentDevice::~CurrentDevice() {
    if (before_ != device_) cudaSetDevice(before_);
}

int processors_of(int device) {
    int count = 0;
    check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
          "asking for the number of multiprocessors");
    return count;
}

}  // namespace daart_fast::cuda
