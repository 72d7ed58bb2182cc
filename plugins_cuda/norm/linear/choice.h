// How the norm is launched on linear tensors: pure host arithmetic, tested without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/device_limits.h"
#include "common/integer_maths.h"
#include "common/lanes.h"
#include "norm/linear/span.h"

namespace trtconv::linear
{

constexpr int32_t kMaxTileSize = 32; // elements a thread holds in registers
constexpr int32_t kMaxTileVectors = 8;
constexpr int32_t kMaxResidentThreads = 1024; // threads of a block, at most
constexpr int32_t kMinLanes = 4; // below that, idle threads cost less than finer groups
constexpr int32_t kSmallBlockThreads = 128; // threads of a block that holds several slices

constexpr int32_t kClusterThreads = 512; // threads of each block of a cluster
constexpr int32_t kClusterBlocks = 2; // the H100 does not take clusters of 4 or 8 on all of its multiprocessors
// A slice that fills a tile of each thread. H100, [1,64,32768] fp16: 3.8 us in clusters, 5.7 in one block each;
// [1,64,16384] fp32: 4.6 and 4.2.
constexpr int64_t kMinClusteredSize = kClusterBlocks * kClusterThreads * kMaxTileSize;
// Vectors that a thread of a cluster asks for before it needs them. H100, [1,64,256,256] fp32 in shared memory: 9.4 us
// with 8, 10.1 with 14.
constexpr int32_t kClusterStagesAhead = 8;
constexpr int32_t kClusterStaticBytes = 1024; // shared memory beside the stages
// Most full tiles that a thread of a cluster holds in registers. H100, [1,64,256,256]: 8.7 us in fp32 and 6.1 in
// fp16; in shared memory 9.3 and 6.8.
constexpr int32_t kMaxClusterTiles = 2;

constexpr int32_t kSplitThreads = 256; // threads of a block of a split launch
constexpr int32_t kSplitBlocksPerProcessor = 8;
constexpr int32_t kMaxSplitBlocks = 2048; // bounds the workspace on any GPU: 8 blocks on each of 256 multiprocessors
constexpr int64_t kMaxGridBlocks = 1 << 20; // blocks loop over more work than that
constexpr int64_t kPartialBytes = 16; // sizeof(SliceSums)

// Threads of a streamed launch's block: those that sum up, those that store, a warp that loads and one that exchanges.
// The same with an epilogue, whose code as it is now was not timed so. H200, [8,64,512,512] and [1,32,1080,1920] fp16,
// over the plain norm: 256 that sum up and 512 that store took 1.32 and 1.25 with relu, 1.15 and 1.27 with silu; these
// numbers of threads, with older code of the epilogue, 1.20 and 1.20, 1.41 and 1.40.
constexpr int32_t kSumThreads = 512;
constexpr int32_t kStoreThreads = 256;
constexpr int32_t kStreamedThreads = kSumThreads + kStoreThreads + 2 * kWarpSize;
constexpr int32_t kSumTileSize = 32; // elements that a thread sums up at once
constexpr int32_t kStageVectors = kSumThreads * 2; // vectors that arrive together: 16 KiB
constexpr int32_t kStageBytes = kStageVectors * kVectorBytes;
constexpr int32_t kMaxStages = 16;
constexpr int32_t kStreamedStaticBytes = 2048; // shared memory beside the stages
constexpr int32_t kMaxStreamedBlocks = 512; // bounds the workspace; no GPU has so many multiprocessors

// Returns the number of stages in the ring of a streamed launch, 0 on GPUs without bulk copies.
constexpr int32_t maxStages(DeviceLimits const& device)
{
    return device.majorVersion < kHopperMajorVersion
        ? 0
        : std::clamp((device.sharedBytesPerBlock - kStreamedStaticBytes) / kStageBytes, 0, kMaxStages);
}

struct SliceShape
{
    int64_t numSlices;
    int64_t sliceSize;
    int32_t baseOffset; // elements between the last aligned address and the tensor
    int32_t vectorSize; // elements that one instruction can move: 16 bytes of them, or 1

    constexpr bool hasWholeVectors() const { return areWholeVectors(sliceSize, baseOffset, vectorSize); }
    // The most whole vectors of a slice; 1 where there are none, so that something is launched.
    constexpr int64_t numVectors() const { return std::max<int64_t>(sliceSize / vectorSize, 1); }
    constexpr int32_t minLanes() const
    {
        return hasWholeVectors() ? kMinLanes : std::max<int32_t>(kMinLanes, 2 * vectorSize); // a lane for each edge
    }
};

enum class Method : int32_t
{
    kResident, // slices in registers, each in part of a warp or in a block
    kClustered, // slices in shared memory or registers, each in a cluster of blocks, all at once
    kStreamed, // slices in shared memory, each in a group of blocks, one after another
    kSplit, // two kernels, each of which reads the tensor
};

struct Config
{
    Method method;
    int32_t threads; // of a block
    int32_t lanesPerSlice; // resident: threads that share a slice, a power of two
    int32_t vectorsPerLane; // of a thread. Resident: a power of two. Clustered: in registers, or 0 in shared memory
    int32_t blocksPerSlice; // clustered, streamed, split: blocks that share a slice
    int64_t vectorsPerBlock; // clustered, streamed, split: vectors of each of them, of each plane if planes are split
    int64_t blocks; // of the grid

    constexpr int32_t slicesPerBlock() const { return threads / lanesPerSlice; }
    constexpr bool areTilesFull(SliceShape const& shape) const
    {
        return shape.hasWholeVectors() && int64_t{lanesPerSlice} * vectorsPerLane == shape.numVectors();
    }
};

// Returns how many vectors a thread can hold; single elements where alignment forbids vectors.
TRTCONV_HOST_DEVICE constexpr int32_t tileVectors(int32_t vectorSize)
{
    return vectorSize == 1 || kMaxTileSize / vectorSize > kMaxTileVectors ? kMaxTileVectors : kMaxTileSize / vectorSize;
}

// Returns how many vectors a thread of a split launch holds, which has fewer registers and more threads.
TRTCONV_HOST_DEVICE constexpr int32_t splitTileVectors(int32_t vectorSize)
{
    return vectorSize == 1 ? kMaxTileVectors : kMaxTileVectors / 2;
}

constexpr bool fitsOneBlock(int64_t numVectors, int32_t vectorSize)
{
    return numVectors <= kMaxResidentThreads * tileVectors(vectorSize);
}

// Full tiles keep most loads in flight per thread; a small tensor is spread over more threads until the GPU is busy.
constexpr Config chooseResident(SliceShape const& shape, DeviceLimits const& device)
{
    // H100, [1,256,64,64] fp32 by lanes: 128 4.2 us, 256 4.0 to 4.3, 512 4.3, 1024 5.3; [64,256,8,8]: 4 3.7 us, 16 4.6.
    int64_t const busyThreads = int64_t{device.numProcessors} * 256;
    int32_t vectorsPerLane = tileVectors(shape.vectorSize);
    int64_t lanes = nextPowerOfTwo(ceilDivide(shape.numVectors(), vectorsPerLane));
    while (vectorsPerLane > 1 && shape.numSlices * lanes < busyThreads && lanes < 256)
    {
        vectorsPerLane /= 2;
        lanes = nextPowerOfTwo(ceilDivide(shape.numVectors(), vectorsPerLane));
    }
    lanes = std::max<int64_t>(lanes, shape.minLanes());
    int64_t const threads = lanes <= kWarpSize ? kSmallBlockThreads : lanes;
    int64_t const blocks = ceilDivide(shape.numSlices * lanes, threads);
    return {Method::kResident, static_cast<int32_t>(threads), static_cast<int32_t>(lanes), vectorsPerLane, 1, 0,
        std::min(blocks, kMaxGridBlocks)};
}

// Returns how many vectors each of `blocksPerSlice` blocks has: a multiple of the warp size.
constexpr int64_t vectorsOfBlock(SliceShape const& shape, int64_t blocksPerSlice)
{
    return ceilDivide(ceilDivide(shape.numVectors(), blocksPerSlice), kWarpSize) * kWarpSize;
}

// Returns how many vectors a block of a cluster can hold in shared memory.
constexpr int32_t maxClusterVectors(DeviceLimits const& device)
{
    return (device.sharedBytesPerBlock - kClusterStaticBytes) / kVectorBytes;
}

// Whether clusters take the tensor, all of them at once: where slices come in turns, streaming is faster.
constexpr bool fitsClusters(SliceShape const& shape, DeviceLimits const& device)
{
    return device.majorVersion >= kHopperMajorVersion && shape.vectorSize > 1 && shape.sliceSize >= kMinClusteredSize
        && shape.numSlices * kClusterBlocks <= device.numProcessors
        && vectorsOfBlock(shape, kClusterBlocks) <= maxClusterVectors(device);
}

// Returns how many tiles each thread of a cluster holds in registers; 0 if they are not all full or too many, and
// slices are held in shared memory.
constexpr int32_t clusterTiles(SliceShape const& shape)
{
    bool const areFull = shape.hasWholeVectors() && shape.sliceSize % kMinClusteredSize == 0;
    int64_t const tiles = shape.sliceSize / kMinClusteredSize;
    return areFull && tiles <= kMaxClusterTiles ? static_cast<int32_t>(tiles) : 0;
}

constexpr Config chooseClustered(SliceShape const& shape)
{
    return {Method::kClustered, kClusterThreads, 0, clusterTiles(shape) * tileVectors(shape.vectorSize), kClusterBlocks,
        vectorsOfBlock(shape, kClusterBlocks), shape.numSlices * kClusterBlocks};
}

constexpr Config chooseSplit(SliceShape const& shape, int32_t numProcessors)
{
    int64_t const wantedBlocks = std::min(numProcessors * kSplitBlocksPerProcessor, kMaxSplitBlocks);
    int64_t const vectorsPerRound = int64_t{kSplitThreads} * splitTileVectors(shape.vectorSize);
    int64_t const wantedSplits = std::clamp<int64_t>(
        ceilDivide(wantedBlocks, shape.numSlices), 1, ceilDivide(shape.numVectors(), vectorsPerRound));
    int64_t const vectorsPerBlock = vectorsOfBlock(shape, wantedSplits);
    int64_t const splits = ceilDivide(shape.numVectors(), vectorsPerBlock);
    int64_t const blocks = std::min(shape.numSlices * splits, kMaxGridBlocks);
    return {Method::kSplit, kSplitThreads, 0, 0, static_cast<int32_t>(splits), vectorsPerBlock, blocks};
}

constexpr Config makeStreamed(SliceShape const& shape, int64_t blocksPerSlice, int64_t numGroups)
{
    return {Method::kStreamed, kStreamedThreads, 0, 0, static_cast<int32_t>(blocksPerSlice),
        vectorsOfBlock(shape, blocksPerSlice), blocksPerSlice * std::min(numGroups, shape.numSlices)};
}

// Returns how long a group takes for a slice, as the number of vectors that a block could move meanwhile. It is fitted
// to the H100 (bench/lab_instance_norm.py): a group waits longer the larger it is, and parts that leave the ring no
// room for the next one stop the loads.
constexpr int64_t streamedWork(int64_t blocksPerSlice, int64_t vectorsPerBlock, int64_t ringVectors)
{
    int64_t const crowding = std::max<int64_t>(vectorsPerBlock - ringVectors * 7 / 20, 0);
    return vectorsPerBlock + 100 + 14 * blocksPerSlice + crowding * 3 / 5;
}

constexpr Config chooseStreamed(SliceShape const& shape, DeviceLimits const& device)
{
    int64_t const numProcessors = std::min(device.numProcessors, kMaxStreamedBlocks);
    int64_t const ringVectors = int64_t{maxStages(device)} * kStageVectors;
    int64_t const fewestBlocks = std::min(ceilDivide(shape.numVectors(), ringVectors - kWarpSize), numProcessors);
    int64_t bestGroups = 1;
    int64_t leastWork = INT64_MAX;
    for (int64_t groups = numProcessors / fewestBlocks; groups >= 1; --groups)
    {
        int64_t const blocks = numProcessors / groups;
        int64_t const work = ceilDivide(shape.numSlices, groups)
            * streamedWork(blocks, ceilDivide(shape.numVectors(), blocks), ringVectors);
        if (work < leastWork)
        {
            leastWork = work;
            bestGroups = groups;
        }
    }
    return makeStreamed(shape, numProcessors / bestGroups, bestGroups);
}

constexpr bool fitsStages(Config const& config, DeviceLimits const& device)
{
    return ceilDivide(config.vectorsPerBlock, kStageVectors) <= maxStages(device);
}

constexpr Config chooseConfig(SliceShape const& shape, DeviceLimits const& device)
{
    if (fitsClusters(shape, device))
    {
        return chooseClustered(shape);
    }
    if (fitsOneBlock(shape.numVectors(), shape.vectorSize))
    {
        return chooseResident(shape, device);
    }
    if (maxStages(device) > 0 && shape.vectorSize > 1)
    {
        Config const streamed = chooseStreamed(shape, device);
        if (fitsStages(streamed, device))
        {
            return streamed;
        }
    }
    return chooseSplit(shape, device.numProcessors);
}

// Returns the bytes of workspace that are enough for every tensor of at most this many slices of at most this size, on
// any GPU and of any alignment. It grows with both, so that of the largest shape of a profile serves the smaller ones.
constexpr int64_t workspaceBytes(int64_t maxSlices, int64_t maxSliceSize)
{
    return fitsOneBlock(maxSliceSize, 1) ? 0 : (maxSlices + kMaxSplitBlocks) * kPartialBytes;
}

// The workspace of a streamed launch of groups: two sums for each block and a counter for each group.
static_assert((kMaxStreamedBlocks * 2 + kMaxStreamedBlocks) * kPartialBytes <= kMaxSplitBlocks * kPartialBytes);

static_assert(maxStages(kH100) == 14);
// [8,64,512,512] fp16: 202 us by 8 blocks, 204 by 6, 209 by 4; [1,32,1080,1920] fp16: 112 us by 44 blocks, 121 by 33.
static_assert(chooseConfig({512, 512 * 512, 0, 8}, kH100).blocksPerSlice == 8);
static_assert(chooseConfig({32, 1080 * 1920, 0, 8}, kH100).blocksPerSlice == 44);
static_assert(chooseConfig({64, 256 * 256, 0, 8}, kH100).method == Method::kClustered);
static_assert(chooseConfig({8192, 32 * 32, 0, 8}, kH100).lanesPerSlice == 32); // a warp, full tiles
static_assert(chooseConfig({1, 1 << 28, 0, 8}, kH100).method == Method::kSplit);

} // namespace trtconv::linear
