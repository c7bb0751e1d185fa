# The CUDA kernels, where nvcc is found and works; everything else is built without them too.
#   DAART_FAST_NO_CUDA     (environment or cache) leaves them out
#   DAART_FAST_CUDA_ARCHS  (environment or cache) "native", or a list as in "80,90"
# Sets cuda_objects, and links the target given to daart_fast_add_cuda with what they need.
include(CheckLanguage)

function(daart_fast_setting name result)
  set(value "${${name}}")
  if("${value}" STREQUAL "")
    set(value "$ENV{${name}}")
  endif()
  set(${result} "${value}" PARENT_SCOPE)
endfunction()

# sm_80, 86, 89, 90, 100 and 120 as far as this nvcc knows them, and PTX of the last for newer ones.
function(daart_fast_cuda_architectures result)
  daart_fast_setting(DAART_FAST_CUDA_ARCHS chosen)
  if(chosen)
    string(REGEX REPLACE "[, ]+" ";" chosen "${chosen}")
    string(REPLACE "sm_" "" chosen "${chosen}")
    if(chosen STREQUAL "native" AND CMAKE_VERSION VERSION_LESS 3.24)
      message(FATAL_ERROR "DAART_FAST_CUDA_ARCHS=native takes CMake 3.24, and this is "
                          "${CMAKE_VERSION}: name the architecture, as in 90")
    endif()
    set(${result} "${chosen}" PARENT_SCOPE)
  elseif(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
    set(${result} 80-real 86-real 89-real 90 PARENT_SCOPE)
  else()
    set(${result} 80-real 86-real 89-real 90-real 100-real 120 PARENT_SCOPE)
  endif()
endfunction()

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
    daart_fast_cuda OBJECT csrc/cuda/bfloat16.cu csrc/cuda/device.cu csrc/cuda/float32.cu
                           csrc/cuda/float64.cu csrc/cuda/losses.cu csrc/cuda/tf32.cu)
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
    target_sources(${target} PRIVATE csrc/cuda/bindings.cpp csrc/cuda/loss_bindings.cpp
                                     ${cuda_objects})
    target_compile_definitions(
      ${target} PRIVATE DAART_FAST_CUDA="${CMAKE_CUDA_COMPILER_VERSION}"
                        DAART_FAST_CUDA_ARCHS="${names}")
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  endif()
endfunction()
