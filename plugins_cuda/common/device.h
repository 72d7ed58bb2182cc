// The limits of the current device, and how CUDA's errors become exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include "common/device_limits.h"
#include "common/plugin_error.h"

namespace trtconv
{

class CudaError : public PluginError
{
public:
    CudaError(cudaError_t status, std::string const& what)
        : PluginError(text(what, ": ", cudaGetErrorString(status)))
        , mStatus(status)
    {
    }

    cudaError_t status() const { return mStatus; }

private:
    cudaError_t mStatus;
};

inline void checkCuda(cudaError_t status, char const* what)
{
    if (status != cudaSuccess)
    {
        static_cast<void>(cudaGetLastError()); // else CUDA would report it for the next launch
        throw CudaError(status, what);
    }
}

// Whether there is a GPU that CUDA can use.
inline bool hasDevice()
{
    int numDevices = 0;
    bool const hasAny = cudaGetDeviceCount(&numDevices) == cudaSuccess && numDevices > 0;
    static_cast<void>(cudaGetLastError());
    return hasAny;
}

inline DeviceLimits currentDeviceLimits()
{
    int device = 0;
    DeviceLimits limits;
    checkCuda(cudaGetDevice(&device), "cudaGetDevice");
    checkCuda(cudaDeviceGetAttribute(&limits.numProcessors, cudaDevAttrMultiProcessorCount, device),
        "cudaDeviceGetAttribute");
    checkCuda(cudaDeviceGetAttribute(&limits.majorVersion, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
    checkCuda(cudaDeviceGetAttribute(&limits.sharedBytesPerBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute");
    checkCuda(cudaDriverGetVersion(&limits.driverVersion), "cudaDriverGetVersion");
    return limits;
}

} // namespace trtconv
