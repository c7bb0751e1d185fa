# The CUDA kernels, where nvcc is found and works; everything else is built without them too.
#   DAART_FAST_NO_CUDA     (environment or cache) leaves them out
#   DAART_FAST_CUDA_ARCHS  (environment or cache) "native" (the GPUs that are here), "all", or a list
#                          as in "80,90"; by default native where there is a GPU
# Sets cuda_objects, and links the target given to daart_fast_add_cuda with what they need.
include(CheckLanguage)

include("${CMAKE_CURRENT_LIST_DIR}/architectures.cmake")

# Whether nvcc is there and works; enables the language if so.
macro(daart_fast_find_nvcc result)
  set(${result} OFF)
  daart_fast_setting(DAART_FAST_NO_CUDA unwanted)
  if(unwanted)
    message(STATUS "CUDA kernels: left out, as DAART_FAST_NO_CUDA asks")
  else()
    check_language(CUDA)
    if(NOT CMAKE_CUDA_COMPILER)
      unset(CMAKE_CUDA_COMPILER CACHE) # look again next time
      find_program(DAART_FAST_NVCC nvcc)
      if(DAART_FAST_NVCC)
        message(WARNING "CUDA kernels: left out, because ${DAART_FAST_NVCC} does not work: CUDA "
                        "tensors will go through PyTorch")
      else()
        message(STATUS "CUDA kernels: left out, there is no nvcc")
      endif()
      unset(DAART_FAST_NVCC CACHE)
    else()
      set(CMAKE_CUDA_ARCHITECTURES OFF) # each target names its own
      enable_language(CUDA)
      if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 11.8)
        message(WARNING "CUDA kernels: left out, because nvcc ${CMAKE_CUDA_COMPILER_VERSION} is "
                        "older than 11.8: CUDA tensors will go through PyTorch")
      else()
        set(${result} ON)
      endif()
    endif()
  endif()
endmacro()

daart_fast_find_nvcc(DAART_FAST_HAS_CUDA)
set(cuda_objects "")
if(DAART_FAST_HAS_CUDA)
  find_package(CUDAToolkit REQUIRED)
  daart_fast_cuda_architectures(cuda_architectures)
  message(STATUS "CUDA kernels: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, for ${cuda_architectures}")
  add_library(
    daart_fast_cuda OBJECT cuda/bfloat16.cu cuda/device.cu cuda/float32.cu
                           cuda/float64.cu cuda/losses.cu cuda/tf32.cu)
  set_target_properties(
    daart_fast_cuda
    PROPERTIES CUDA_ARCHITECTURES "${cuda_architectures}"
               CUDA_STANDARD 17
               CUDA_STANDARD_REQUIRED ON
               CUDA_VISIBILITY_PRESET hidden
               CUDA_RUNTIME_LIBRARY Static)
  set(cuda_objects $<TARGET_OBJECTS:daart_fast_cuda>)
endif()

function(daart_fast_add_cuda target)
  if(DAART_FAST_HAS_CUDA)
    string(REPLACE "-real" "" names "${cuda_architectures}")
    string(REPLACE ";" ", " names "${names}")
    target_sources(${target} PRIVATE python/cuda.cpp python/cuda_losses.cpp ${cuda_objects})
    target_compile_definitions(
      ${target} PRIVATE DAART_FAST_CUDA="${CMAKE_CUDA_COMPILER_VERSION}"
                        DAART_FAST_CUDA_ARCHS="${names}")
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  endif()
endfunction()
