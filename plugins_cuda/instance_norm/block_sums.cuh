// Adding up the sums of threads, always in the same order.
#pragma once

#include "instance_norm/instance_norm_config.h"
#include "instance_norm/slice_statistics.h"

namespace trtconv
{

constexpr unsigned kAllLanes = 0xffffffffU;

// Of `lanes` neighbouring threads of a warp, a power of two from 2 on, the first half gets the sum of all deviations
// and the other half that of all squares: that takes half as many exchanges.
__device__ inline double halfOfSums(SliceSums const& sums, uint32_t lanes)
{
    uint32_t const half = lanes / 2;
    bool const addsSquares = (threadIdx.x & half) != 0;
    double own = addsSquares ? sums.squares : sums.deviations;
    own += __shfl_xor_sync(kAllLanes, addsSquares ? sums.deviations : sums.squares, half);
    for (uint32_t distance = half / 2; distance > 0; distance /= 2)
    {
        own += __shfl_xor_sync(kAllLanes, own, distance);
    }
    return own;
}

// Gives each of `lanes` neighbouring threads of a warp, a power of two from 2 on, the sum over all of them.
__device__ inline SliceSums sumOverLanes(SliceSums const& sums, uint32_t lanes)
{
    double const own = halfOfSums(sums, lanes);
    double const other = __shfl_xor_sync(kAllLanes, own, lanes / 2);
    return (threadIdx.x & (lanes / 2)) != 0 ? SliceSums{other, own} : SliceSums{own, other};
}

// Gives every warp that calls it the sum over `numWarps` warps, a power of two, once all have left theirs in
// `warpSums`.
__device__ inline SliceSums sumOfWarps(SliceSums const* warpSums, uint32_t numWarps)
{
    SliceSums const ofWarp = warpSums[threadIdx.x & (numWarps - 1)];
    return numWarps == 1 ? ofWarp : sumOverLanes(ofWarp, numWarps);
}

// Leaves the sum over the calling warp in `warpSums`.
__device__ inline void leaveSumOfWarp(SliceSums const& sums, SliceSums* warpSums)
{
    double const ofWarp = halfOfSums(sums, kWarpSize);
    SliceSums& target = warpSums[threadIdx.x / kWarpSize];
    if (threadIdx.x % kWarpSize == 0)
    {
        target.deviations = ofWarp;
    }
    else if (threadIdx.x % kWarpSize == kWarpSize / 2)
    {
        target.squares = ofWarp;
    }
}

} // namespace trtconv
