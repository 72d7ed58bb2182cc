// Launches that check what CUDA would refuse, and run nothing.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "common/device.h"
#include "common/lanes.h"

namespace trtconv
{

constexpr int64_t kMaxBlocks = INT32_MAX; // of a grid
constexpr int64_t kMaxRows = 65535; // of blocks, along the grid's second axis
constexpr int32_t kMaxThreads = 1024; // of a block

inline int64_t numHostLaunches = 0;

inline DeviceLimits compiledDeviceLimits()
{
    return currentDeviceLimits();
}

template <typename Kernel>
void allowSharedBytes(Kernel* kernel, int32_t numBytes)
{
    checkCuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, numBytes), "cudaFuncSetAttribute");
}

inline uint4 tailMask(int64_t numBits)
{
    return {lowBits(numBits), lowBits(numBits - 32), lowBits(numBits - 64), lowBits(numBits - 96)};
}

inline void waitForEarlierWork()
{
}

inline void letNextKernelBegin()
{
}

// Ends the process for a launch that no GPU takes.
class KernelLaunch
{
public:
    KernelLaunch(DeviceLimits const& device, int64_t blocks, int32_t threads, cudaStream_t /*stream*/)
        : mDevice(device)
    {
        expect(blocks >= 1 && blocks <= kMaxBlocks, "blocks", blocks);
        expect(threads >= 1 && threads <= kMaxThreads, "threads", threads);
    }

    void useBlockRows(int64_t rows) { expect(rows >= 1 && rows <= kMaxRows, "rows of blocks", rows); }
    void useBlockLayers(int64_t layers) { expect(layers >= 1 && layers <= kMaxRows, "layers of blocks", layers); }
    void useSharedBytes(int32_t bytes) { expect(bytes >= 0 && bytes <= mDevice.sharedBytesPerBlock, "bytes", bytes); }
    void useClusters(int32_t blocks) { expect(blocks >= 1 && blocks <= 8, "blocks of a cluster", blocks); }
    void useCooperation() { }

    template <typename... Parameters, typename... Arguments>
    void run(char const* /*what*/, void (*kernel)(Parameters...), Arguments const&... arguments) const
    {
        static_cast<void>(kernel);
        (static_cast<void>(Parameters(arguments)), ...);
        ++numHostLaunches;
    }

private:
    static void expect(bool isGood, char const* what, int64_t number)
    {
        if (!isGood)
        {
            std::fprintf(stderr, "a launch of %lld %s\n", static_cast<long long>(number), what);
            std::abort();
        }
    }

    DeviceLimits mDevice;
};

} // namespace trtconv
