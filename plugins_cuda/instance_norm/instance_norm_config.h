// How InstanceNorm is launched: pure host arithmetic, tested without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/vector_span.h"

namespace trtconv
{

constexpr int32_t kWarpSize = 32;
constexpr int32_t kVectorBytes = 16;
constexpr int32_t kMaxTileSize = 32; // elements a thread holds: bits of a validity mask, 32 registers in fp32
constexpr int32_t kMaxScalarTileSize = 8; // the same where alignment forbids vectors: 8 loads in flight are enough
constexpr int32_t kMaxResidentLanes = 1024; // one block
constexpr int32_t kMinLanes = 4; // below that, idle threads cost less than finer groups
constexpr int32_t kSmallBlockThreads = 128; // several slices in a block
constexpr int32_t kSplitThreads = 256; // several blocks per slice
constexpr int32_t kSplitBlocksPerProcessor = 8;
constexpr int32_t kMaxSplitBlocks = 2048; // bounds the workspace on any GPU: 8 blocks on each of 256 multiprocessors
constexpr int64_t kMaxGridBlocks = 1 << 20; // more work than that is looped over
constexpr int64_t kPartialBytes = 16; // sizeof(SliceSums)

// Vectors a thread reads in one go; their elements are its tile.
TRTCONV_HOST_DEVICE constexpr int32_t tileVectors(int32_t vectorSize)
{
    return vectorSize == 1 ? kMaxScalarTileSize : kMaxTileSize / vectorSize;
}

struct InstanceNormConfig
{
    bool isResident; // one kernel reads a slice once and keeps it in registers; otherwise two kernels read it twice
    int32_t threads; // of a block
    int32_t lanesPerSlice; // resident: threads that share a slice, a power of two
    int32_t splitsPerSlice; // otherwise: blocks that share a slice
    int64_t vectorsPerSplit; // otherwise: of each of them
    int64_t blocks; // of the grid

    constexpr int32_t slicesPerBlock() const { return threads / lanesPerSlice; }
};

constexpr int64_t ceilDivide(int64_t dividend, int64_t divisor)
{
    return (dividend + divisor - 1) / divisor;
}

constexpr int64_t nextPowerOfTwo(int64_t value)
{
    int64_t power = 1;
    while (power < value)
    {
        power *= 2;
    }
    return power;
}

constexpr bool fitsOneBlock(int64_t numVectors, int32_t vectorSize)
{
    return numVectors <= kMaxResidentLanes * tileVectors(vectorSize);
}

// Full tiles keep most loads in flight per thread; a small tensor is spread over more threads until the GPU is busy.
constexpr int32_t chooseLanes(int64_t numSlices, int64_t numVectors, int32_t vectorSize, int32_t numProcessors)
{
    int64_t const busyThreads = int64_t{numProcessors} * 1024;
    int32_t vectorsPerLane = tileVectors(vectorSize);
    int64_t lanes = nextPowerOfTwo(ceilDivide(numVectors, vectorsPerLane));
    while (vectorsPerLane > 1 && numSlices * lanes < busyThreads && lanes < kMaxResidentLanes)
    {
        vectorsPerLane /= 2;
        lanes = nextPowerOfTwo(ceilDivide(numVectors, vectorsPerLane));
    }
    return static_cast<int32_t>(std::clamp<int64_t>(lanes, kMinLanes, kMaxResidentLanes));
}

constexpr InstanceNormConfig chooseResidentConfig(
    int64_t numSlices, int64_t numVectors, int32_t vectorSize, int32_t numProcessors)
{
    int32_t const lanes = chooseLanes(numSlices, numVectors, vectorSize, numProcessors);
    int32_t const threads = lanes <= kWarpSize ? kSmallBlockThreads : lanes;
    int64_t const blocks = std::min(ceilDivide(numSlices, threads / lanes), kMaxGridBlocks);
    return {true, threads, lanes, 1, numVectors, blocks};
}

constexpr InstanceNormConfig chooseSplitConfig(
    int64_t numSlices, int64_t numVectors, int32_t vectorSize, int32_t numProcessors)
{
    int64_t const wantedBlocks = std::min(numProcessors * kSplitBlocksPerProcessor, kMaxSplitBlocks);
    int64_t const vectorsPerRound = int64_t{kSplitThreads} * tileVectors(vectorSize);
    int64_t const wantedSplits =
        std::clamp<int64_t>(ceilDivide(wantedBlocks, numSlices), 1, ceilDivide(numVectors, vectorsPerRound));
    int64_t const vectorsPerSplit = ceilDivide(ceilDivide(numVectors, wantedSplits), kWarpSize) * kWarpSize;
    int64_t const splits = ceilDivide(numVectors, vectorsPerSplit);
    int64_t const blocks = std::min(numSlices * splits, kMaxGridBlocks);
    return {false, kSplitThreads, 0, static_cast<int32_t>(splits), vectorsPerSplit, blocks};
}

// `vectorSize` is the number of elements that can be moved at once: 16 bytes of them, or 1. `baseOffset` is how many
// elements the tensor begins after an aligned address.
constexpr InstanceNormConfig chooseInstanceNormConfig(
    int64_t numSlices, int64_t sliceSize, int32_t baseOffset, int32_t vectorSize, int32_t numProcessors)
{
    int64_t const numVectors = maxVectors(sliceSize, baseOffset, vectorSize);
    return fitsOneBlock(numVectors, vectorSize) ? chooseResidentConfig(numSlices, numVectors, vectorSize, numProcessors)
                                                : chooseSplitConfig(numSlices, numVectors, vectorSize, numProcessors);
}

// Enough for every tensor of at most this many slices of at most this size, on any GPU and of any alignment: it grows
// with both, so that of the largest shape of a profile serves the smaller ones.
constexpr int64_t instanceNormWorkspaceBytes(int64_t maxSlices, int64_t maxSliceSize)
{
    return fitsOneBlock(maxSliceSize, 1) ? 0 : (maxSlices + kMaxSplitBlocks) * kPartialBytes;
}

static_assert(chooseInstanceNormConfig(8192, 1024, 0, 8, 132).lanesPerSlice == 32); // 32x32 in fp16: a warp, full tiles
static_assert(chooseInstanceNormConfig(256, 4096, 0, 8, 132).lanesPerSlice == 512); // few slices: over more threads
static_assert(chooseInstanceNormConfig(1 << 16, 49, 0, 8, 132).slicesPerBlock() > 1);
static_assert(chooseInstanceNormConfig(3, 32768, 0, 4, 132).isResident);
static_assert(!chooseInstanceNormConfig(3, 32768, 1, 4, 132).isResident); // unaligned, it needs a vector more
static_assert(chooseInstanceNormConfig(1, 1080 * 1920, 0, 4, 132).splitsPerSlice > 132);
static_assert(instanceNormWorkspaceBytes(1 << 20, 1024) == 0);

} // namespace trtconv
