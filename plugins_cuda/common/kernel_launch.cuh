// Launches of kernels whose blocks get ready while the kernel before them in the stream ends.
#pragma once

#include <algorithm>

#include "common/device.h"

namespace trtconv
{

// Returns the limits of the current device as far as the code that it runs can use them: where the library holds code
// for an older GPU only, the device counts as that.
inline DeviceLimits compiledDeviceLimits()
{
    DeviceLimits limits = currentDeviceLimits();
    int32_t compiledVersion = 0;
    for (int32_t const architecture : {__CUDA_ARCH_LIST__})
    {
        if (architecture / 100 <= limits.majorVersion)
        {
            compiledVersion = std::max(compiledVersion, architecture / 100);
        }
    }
    limits.majorVersion = compiledVersion;
    return limits;
}

// Lets a launch of the kernel on the current device ask for that much shared memory.
template <typename Kernel>
void allowSharedBytes(Kernel* kernel, int32_t numBytes)
{
    checkCuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, numBytes), "cudaFuncSetAttribute");
}

// Waits for what was enqueued before the kernel, which may still be at work until this returns. Each thread of each
// kernel that a KernelLaunch launches calls it, before it reads or writes device memory.
__device__ inline void waitForEarlierWork()
{
#if __CUDA_ARCH__ >= 900
    cudaGridDependencySynchronize();
#endif
}

// Lets the next kernel of a KernelLaunch come to its own wait as soon as every block of this one has begun. Without it
// that kernel begins when all blocks have ended.
__device__ inline void letNextKernelBegin()
{
#if __CUDA_ARCH__ >= 900
    cudaTriggerProgrammaticLaunchCompletion();
#endif
}

constexpr int32_t kEarlyLaunchDriver = 12030; // the first driver that captures early launches into graphs

class KernelLaunch
{
public:
    KernelLaunch(DeviceLimits const& device, int64_t blocks, int32_t threads, cudaStream_t stream)
        : mConfig{static_cast<unsigned>(blocks), static_cast<unsigned>(threads), 0, stream, mAttributes, 0}
    {
        if (device.majorVersion >= kHopperMajorVersion && device.driverVersion >= kEarlyLaunchDriver)
        {
            add(cudaLaunchAttributeProgrammaticStreamSerialization).programmaticStreamSerializationAllowed = 1;
        }
    }

    KernelLaunch(KernelLaunch const&) = delete; // mConfig refers to mAttributes
    KernelLaunch& operator=(KernelLaunch const&) = delete;

    // Repeats the blocks `rows` times, along the grid's second axis.
    void useBlockRows(int64_t rows) { mConfig.gridDim.y = static_cast<unsigned>(rows); }

    // Repeats that grid along its third axis.
    void useBlockLayers(int64_t layers) { mConfig.gridDim.z = static_cast<unsigned>(layers); }

    void useSharedBytes(int32_t numBytes) { mConfig.dynamicSmemBytes = static_cast<size_t>(numBytes); }

    void useClusters(int32_t blocksPerCluster)
    {
        add(cudaLaunchAttributeClusterDimension).clusterDim = {static_cast<unsigned>(blocksPerCluster), 1, 1};
    }

    void useCooperation() { add(cudaLaunchAttributeCooperative).cooperative = 1; }

    template <typename... Parameters, typename... Arguments>
    void run(char const* what, void (*kernel)(Parameters...), Arguments const&... arguments) const
    {
        checkCuda(cudaLaunchKernelEx(&mConfig, kernel, Parameters(arguments)...), what);
    }

private:
    cudaLaunchAttributeValue& add(cudaLaunchAttributeID id)
    {
        cudaLaunchAttribute& attribute = mAttributes[mConfig.numAttrs++];
        attribute.id = id;
        return attribute.val;
    }

    cudaLaunchAttribute mAttributes[2]{};
    cudaLaunchConfig_t mConfig;
};

} // namespace trtconv
