// How the sums of threads are added up, always in the same order.
#pragma once

#include "norm/linear/choice.h"
#include "norm/statistics.h"

namespace trtconv::linear
{

// Gives each of `lanes` neighbouring threads of a warp, a power of two from 2 on, the sum over all of them.
__device__ inline SliceSums sumByExchange(SliceSums const& sums, uint32_t lanes)
{
    // The first half of the lanes adds up all deviations and the other half all squares: half as many exchanges.
    uint32_t const half = lanes / 2;
    bool const addsSquares = (threadIdx.x & half) != 0;
    double own = addsSquares ? sums.squares : sums.deviations;
    own += __shfl_xor_sync(kAllLanes, addsSquares ? sums.deviations : sums.squares, half);
    for (uint32_t distance = half / 2; distance > 0; distance /= 2)
    {
        own += __shfl_xor_sync(kAllLanes, own, distance);
    }
    double const other = __shfl_xor_sync(kAllLanes, own, half);
    return addsSquares ? SliceSums{other, own} : SliceSums{own, other};
}

#if __CUDA_ARCH__ == 900
// Adds up columns of four: lane 4 * j + i holds row i of column j, and gets the sums of columns 2 * i and 2 * i + 1.
// The sums are a product with a matrix of ones, all in double.
__device__ inline double2 sumOfColumns(double value)
{
    double2 sums;
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%4, %4};"
        : "=d"(sums.x), "=d"(sums.y)
        : "d"(1.0), "d"(value), "d"(0.0));
    return sums;
}
#endif

// Gives each thread of a warp, all of which call it, the sum over all of them. H100, [1,256,64,64] in fp32: 2.86 us by
// products, 3.00 by exchanges.
__device__ inline SliceSums sumOverWarp(SliceSums const& sums)
{
#if __CUDA_ARCH__ == 900 // others have slower products of doubles, or were not tried; PTX for 9.0 has them anyway
    double2 const deviations = sumOfColumns(sums.deviations);
    double2 const squares = sumOfColumns(sums.squares);
    bool const isOddColumn = (threadIdx.x & 4) != 0;
    double2 const total = sumOfColumns(isOddColumn ? squares.x + squares.y : deviations.x + deviations.y);
    return {total.x, total.y};
#else
    return sumByExchange(sums, kWarpSize);
#endif
}

// Gives each of `lanes` neighbouring threads of a warp, a power of two from 2 on, the sum over all of them.
__device__ inline SliceSums sumOverLanes(SliceSums const& sums, uint32_t lanes)
{
    return lanes == kWarpSize ? sumOverWarp(sums) : sumByExchange(sums, lanes);
}

// Gives every warp that calls it the sum over `numWarps` warps, a power of two up to 32, once all have left theirs in
// `warpSums`.
__device__ inline SliceSums sumOfWarps(SliceSums const* warpSums, uint32_t numWarps)
{
#if __CUDA_ARCH__ == 900
    uint32_t const lane = threadIdx.x % kWarpSize;
    return sumOverWarp(lane < numWarps ? warpSums[lane] : SliceSums{});
#else
    SliceSums const ofWarp = warpSums[threadIdx.x & (numWarps - 1)];
    return numWarps == 1 ? ofWarp : sumByExchange(ofWarp, numWarps);
#endif
}

// Leaves the sum over the calling warp in `warpSums`.
__device__ inline void leaveSumOfWarp(SliceSums const& sums, SliceSums* warpSums)
{
    SliceSums const ofWarp = sumOverWarp(sums);
    if (threadIdx.x % kWarpSize == 0)
    {
        warpSums[threadIdx.x / kWarpSize] = ofWarp;
    }
}

} // namespace trtconv::linear
