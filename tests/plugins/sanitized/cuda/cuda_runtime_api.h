// What the plugins' host code needs of CUDA, for a plain host compiler: a device that answers, and kernels that are
// launched and do nothing. For the tests alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

// Kernels never run here, and compile in two thirds of the time without checks.
#define __global__ __attribute__((no_sanitize("address", "undefined")))
#define __device__ __attribute__((no_sanitize("address", "undefined")))
#define __launch_bounds__(...)
#define __grid_constant__
#define __noinline__

using cudaStream_t = void*;
using std::max;
using std::min;

enum cudaError_t : int
{
    cudaSuccess = 0,
    cudaErrorInvalidConfiguration = 9,
};

enum cudaDeviceAttr
{
    cudaDevAttrMultiProcessorCount,
    cudaDevAttrComputeCapabilityMajor,
    cudaDevAttrMaxSharedMemoryPerBlockOptin,
};

enum cudaFuncAttribute
{
    cudaFuncAttributeMaxDynamicSharedMemorySize,
};

// The device that a test wants: no processors stand for no device.
struct HostDevice
{
    int numProcessors;
    int majorVersion;
    int sharedBytes;
    int driverVersion;
};

inline HostDevice hostDevice{132, 9, 232448, 12040};

inline cudaError_t cudaGetLastError()
{
    return cudaSuccess;
}

inline char const* cudaGetErrorString(cudaError_t /*status*/)
{
    return "an error of the host build";
}

inline cudaError_t cudaGetDeviceCount(int* count)
{
    *count = hostDevice.numProcessors > 0 ? 1 : 0;
    return cudaSuccess;
}

inline cudaError_t cudaGetDevice(int* device)
{
    *device = 0;
    return cudaSuccess;
}

inline cudaError_t cudaDriverGetVersion(int* version)
{
    *version = hostDevice.driverVersion;
    return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int /*device*/)
{
    *value = attribute == cudaDevAttrMultiProcessorCount ? hostDevice.numProcessors
        : attribute == cudaDevAttrComputeCapabilityMajor ? hostDevice.majorVersion
                                                         : hostDevice.sharedBytes;
    return cudaSuccess;
}

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* /*kernel*/, cudaFuncAttribute /*attribute*/, int numBytes)
{
    return numBytes >= 0 && numBytes <= hostDevice.sharedBytes ? cudaSuccess : cudaErrorInvalidConfiguration;
}

struct uint2
{
    uint32_t x, y;
};

struct alignas(16) uint4
{
    uint32_t x, y, z, w;
};

inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
    return {x, y, z, w};
}

struct float2
{
    float x, y;
};

// Declared for kernels that are never run.
float __uint_as_float(uint32_t bits);
uint32_t __float_as_uint(float value);
int __ffs(int value);
uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t shift);
void __syncthreads();

template <typename T>
void __stcs(T* address, T value);

struct HostIndex
{
    uint32_t x, y, z;
};

inline HostIndex threadIdx, blockIdx, gridDim, blockDim;

template <typename T>
T __ldg(T const* address)
{
    return *address;
}
