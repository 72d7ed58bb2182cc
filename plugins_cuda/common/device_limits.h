// What a launch needs to know of a GPU.
#pragma once

#include <cstdint>

namespace trtconv
{

constexpr int32_t kHopperMajorVersion = 9; // the first with clusters of blocks, bulk copies and early launches

struct DeviceLimits
{
    int32_t numProcessors = 0; // streaming multiprocessors
    int32_t majorVersion = 0; // of its compute capability
    int32_t sharedBytesPerBlock = 0; // shared memory that a kernel may ask for
    int32_t driverVersion = 0; // of CUDA: 12030 for 12.3
};

constexpr DeviceLimits kH100{132, 9, 232448}; // the GPU that launch choices are fitted to

} // namespace trtconv
