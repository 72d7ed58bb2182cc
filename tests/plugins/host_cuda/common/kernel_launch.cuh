// Launches on the host: every thread of every block, one after the other. For kernels without barriers.
#pragma once

#include "common/device.h"

namespace trtconv
{

inline void waitForEarlierWork()
{
}

inline char const* lastLaunch = ""; // what it said of itself

class KernelLaunch
{
public:
    KernelLaunch(DeviceLimits const& /*device*/, int64_t blocks, int32_t threads, cudaStream_t /*stream*/)
        : mBlocks(blocks)
        , mThreads(threads)
    {
    }

    void useBlockRows(int64_t rows) { mRows = rows; }
    void useBlockLayers(int64_t layers) { mLayers = layers; }

    template <typename... Parameters, typename... Arguments>
    void run(char const* what, void (*kernel)(Parameters...), Arguments const&... arguments) const
    {
        lastLaunch = what;
        gridDim = {static_cast<uint32_t>(mBlocks), static_cast<uint32_t>(mRows), static_cast<uint32_t>(mLayers)};
        for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        {
            for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            {
                for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                {
                    for (threadIdx.x = 0; threadIdx.x < static_cast<uint32_t>(mThreads); ++threadIdx.x)
                    {
                        kernel(Parameters(arguments)...);
                    }
                }
            }
        }
    }

private:
    int64_t mBlocks;
    int64_t mRows = 1;
    int64_t mLayers = 1;
    int32_t mThreads;
};

} // namespace trtconv
