// Whether the results of linear tensors are scattered to their places, and how that is launched: pure host arithmetic,
// tested without a GPU.
#pragma once

#include "norm/linear/choice.h"

namespace trtconv::linear
{

// The facts that decide, independent of the GPU, whether results are scattered: memory is set aside for others.
struct ScatteredShape
{
    int64_t numSlices;
    int64_t sliceSize;
    int32_t elementBytes;
    int64_t numPhases;
    int64_t columnCopies; // of each element of a row
};

// Slices that are no larger are held in a block, or in a cluster of an H100 or H200.
constexpr int64_t kMaxBlockSize = kMaxResidentThreads * kMaxTileSize; // elements
constexpr int64_t kMaxClusterBytes = kClusterBlocks * int64_t{227} * 1024;
constexpr int64_t kMaxClusteredSlices = 132 / kClusterBlocks;

// Whether results are scattered. All else is faster through the workspace. H100: slices that are held,
// [1,256,128,128] with pads of 1, in fp16 12.7 us, scattered by a streamed launch 18.5, in fp32 21.9 and 21.2;
// upsampling in 16 bits, [1,64,540,960] by 2 with pads of 1, 197 and 248. H200: planes whose size is not
// a whole number of vectors, [1,64,510,510] of 2x2 phases with pads of 3, in fp16 72 and 89, of 3x3 phases 56 and 118.
constexpr bool isScattered(ScatteredShape const& shape)
{
    bool const isHeld = shape.sliceSize <= kMaxBlockSize
        || (shape.numSlices <= kMaxClusteredSlices && shape.sliceSize * shape.elementBytes <= kMaxClusterBytes);
    bool const isFast = shape.columnCopies == 1 || shape.elementBytes >= 4;
    bool const areWhole = shape.numPhases == 1
        || (kWarpSize % shape.numPhases == 0
            && areWholeVectors(shape.sliceSize / shape.numPhases, 0, kVectorBytes / shape.elementBytes));
    return !isHeld && isFast && areWhole;
}

// Returns the bytes of the largest tensor of at most this shape whose results are not scattered.
constexpr int64_t maxHeldBytes(ScatteredShape const& shape)
{
    if (!isScattered(shape) || shape.numPhases != 1) // those of a smaller shape may not be whole
    {
        return shape.numSlices * shape.sliceSize * shape.elementBytes;
    }
    int64_t const inBlocks = shape.numSlices * kMaxBlockSize * shape.elementBytes;
    int64_t const inClusters = std::min(shape.numSlices, kMaxClusteredSlices)
        * std::min(shape.sliceSize * shape.elementBytes, kMaxClusterBytes);
    return std::max(inBlocks, inClusters);
}

// Returns the planes of slices of so many phases, each as if it were a slice.
constexpr SliceShape planesOf(SliceShape const& shape, int64_t numPhases)
{
    int64_t const size = shape.sliceSize / numPhases;
    bool const areWhole = areWholeVectors(size, shape.baseOffset, shape.vectorSize);
    return {shape.numSlices, size, areWhole ? shape.baseOffset : 0, areWhole ? shape.vectorSize : 1};
}

// The same as chooseConfig where results are scattered: streamed or, where that cannot be, split by vectors of planes.
constexpr Config chooseScattered(SliceShape const& shape, int64_t numPhases, DeviceLimits const& device)
{
    SliceShape const planes = planesOf(shape, numPhases);
    if (maxStages(device) > 0 && (numPhases == 1 || planes.vectorSize > 1))
    {
        Config const streamed = chooseStreamed(shape, device);
        if (fitsStages(streamed, device))
        {
            return streamed;
        }
    }
    return chooseSplit(planes, device.numProcessors);
}

} // namespace trtconv::linear
