// Copies into shared memory, which a thread asks for in steps and waits for one step after another. Before sm_80 they
// are done at once.
#pragma once

#include "common/hopper.cuh"
#include "norm/channels_last/choice.h"

namespace trtconv::channels_last
{

// Copies 16 bytes: beside the threads where the GPU can.
__device__ inline void copyVector(uint4* target, uint4 const* source, uint64_t cachePolicy)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(sharedAddress(target)),
        "l"(__cvta_generic_to_global(source)), "l"(cachePolicy)
        : "memory");
#else
    *target = *source;
#endif
}

__device__ inline void endStepOfCopies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int NumLater>
__device__ void waitForAllBut()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(NumLater) : "memory");
#endif
}

// Waits for a step. This thread has asked for `numLater` others since, kStepsAhead or more, which may still be on their
// way. H100, [1, 32, 1080, 1920]: 143 us when it waits for all but kStepsAhead, 140 like this.
__device__ inline void waitForCopies(uint32_t numLater)
{
    if (numLater >= 4 * kStepsAhead)
    {
        waitForAllBut<4 * kStepsAhead>();
    }
    else if (numLater >= 2 * kStepsAhead)
    {
        waitForAllBut<2 * kStepsAhead>();
    }
    else
    {
        waitForAllBut<kStepsAhead>();
    }
}

// Where steps are read again, what is read for the last time makes room for them in the cache. H100, [8, 64, 512, 512]:
// a twentieth less time.
struct CachePolicies
{
    uint64_t normal = 0;
    uint64_t lastUse = 0;

    __device__ explicit CachePolicies(bool readsAgain)
    {
#if __CUDA_ARCH__ >= 800
        asm volatile("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(normal));
        asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(lastUse));
        lastUse = readsAgain ? lastUse : normal;
#endif
    }
};

} // namespace trtconv::channels_last
