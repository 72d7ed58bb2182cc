// Marks functions that run on both sides; with a plain host compiler they are ordinary functions, so tests build them
// with g++ alone.
#pragma once

#ifdef __CUDACC__
#define TRTCONV_HOST_DEVICE __host__ __device__
#else
#define TRTCONV_HOST_DEVICE
#endif

// Unrolls the loop that follows, without which its arrays would not stay in registers; host compilers do not know the
// pragma.
#ifdef __CUDA_ARCH__
#define TRTCONV_UNROLL _Pragma("unroll")
#else
#define TRTCONV_UNROLL
#endif
