// What kernels without barriers need of CUDA's headers, for a plain host compiler: a thread runs after the other.
#pragma once

#include <algorithm>
#include <cstdint>

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __grid_constant__

using cudaStream_t = void*;

struct alignas(8) uint2
{
    uint32_t x, y;
};

struct alignas(16) uint4
{
    uint32_t x, y, z, w;
};

struct HostIndex
{
    uint32_t x, y, z;
};

inline HostIndex threadIdx, blockIdx, gridDim;

using std::min;

// Reads at addresses that a GPU would refuse.
inline int32_t numMisalignedReads = 0;

template <typename T>
T __ldg(T const* address)
{
    numMisalignedReads += reinterpret_cast<uintptr_t>(address) % alignof(T) != 0 ? 1 : 0;
    return *address;
}
