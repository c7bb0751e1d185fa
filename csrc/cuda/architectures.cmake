# For which GPUs the CUDA kernels are compiled. tests/native/test_build.py runs this without nvcc.

# The value of a setting: the cache's, or else the environment's.
function(daart_fast_setting name result)
  set(value "${${name}}")
  if("${value}" STREQUAL "")
    set(value "$ENV{${name}}")
  endif()
  set(${result} "${value}" PARENT_SCOPE)
endfunction()

# The compute capabilities of the GPUs that are here, as in "86;90"; those that the kernels or this
# nvcc do not know are left out.
function(daart_fast_gpus_here result)
  execute_process(
    COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
    OUTPUT_VARIABLE here ERROR_QUIET)
  execute_process(
    COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch
    OUTPUT_VARIABLE known ERROR_QUIET)
  string(REGEX MATCHALL "[0-9]+[.][0-9]" here "${here}")
  string(REGEX MATCHALL "[0-9]+" known "${known}")
  string(REPLACE "." "" here "${here}")
  set(found "")
  foreach(capability ${here})
    if(capability IN_LIST known AND NOT capability LESS 80)
      list(APPEND found ${capability})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES found)
  list(SORT found COMPARE NATURAL)
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

# What to compile for: machine code ("-real") for each GPU that is here. Where there is none, for
# sm_80, whose code GPUs of 8.6, 8.7 and 8.9 run as well, and sm_90. Each architecture takes about
# 25 seconds of two cores, and the module without CUDA 100: with two of them a build stays under
# three minutes, with all six it does not. The last one comes as PTX too, which a newer GPU's driver
# compiles at first use and keeps.
function(daart_fast_cuda_architectures result)
  daart_fast_setting(DAART_FAST_CUDA_ARCHS chosen)
  string(REGEX REPLACE "[, ]+" ";" chosen "${chosen}")
  string(REPLACE "sm_" "" chosen "${chosen}")
  if(chosen STREQUAL "all")
    set(architectures 80 86 89 90)
    if(NOT CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
      list(APPEND architectures 100 120)
    endif()
  elseif(chosen AND NOT chosen STREQUAL "native")
    set(${result} "${chosen}" PARENT_SCOPE)
    return()
  else()
    daart_fast_gpus_here(architectures)
    if(NOT architectures AND chosen)
      message(FATAL_ERROR "DAART_FAST_CUDA_ARCHS=native: nvidia-smi shows no GPU of compute "
                          "capability 8.0 or more that this nvcc knows: name the architecture, "
                          "as in 90")
    elseif(NOT architectures)
      set(architectures 80 90)
    endif()
  endif()
  # PTX of the newest, for what comes after it
  list(POP_BACK architectures newest)
  list(TRANSFORM architectures APPEND -real)
  if(chosen STREQUAL "all")  # PTX of the oldest too, for kinds in between that have no machine code
    list(TRANSFORM architectures REPLACE "^80-real$" "80")
  endif()
  set(${result} ${architectures} ${newest} PARENT_SCOPE)
endfunction()
