# Sets CMAKE_CUDA_ARCHITECTURES: machine code for each architecture that this nvcc knows, and PTX of the newest for GPUs
# to come. -DTRTCONV_CUDA_ARCHITECTURES=90 (a CMake list) narrows it, for development.
include_guard()
set(TRTCONV_CUDA_ARCHITECTURES "" CACHE STRING "CUDA architectures to compile for; empty: all that are supported")

if(TRTCONV_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES ${TRTCONV_CUDA_ARCHITECTURES})
else()
    set(wanted 75 80 86 89 90 100 120)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8) # the first that knows Blackwell
        list(REMOVE_ITEM wanted 100 120)
    endif()
    list(POP_BACK wanted newest)
    list(TRANSFORM wanted APPEND "-real")
    set(CMAKE_CUDA_ARCHITECTURES ${wanted} ${newest})
endif()
message(STATUS "CUDA architectures: ${CMAKE_CUDA_ARCHITECTURES}")
