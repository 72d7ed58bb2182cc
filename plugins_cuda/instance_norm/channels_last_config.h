// How InstanceNorm is launched on channels-last tensors: pure host arithmetic, tested without a GPU.
//
// A pixel's channels are read as vectors of 16 bytes, a thread a vector. A few neighbouring vectors of all pixels of an
// image are a column; a column is shared by blocks, each with a run of its pixels. Where the column fits the registers
// of one block or of a cluster it is read once. Otherwise all blocks of a cooperative grid take as many columns at once
// as fit the cache, and read them twice.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/integer_maths.h"

namespace trtconv
{

constexpr int32_t kColumnThreads = 512; // of a block, at most
constexpr int32_t kMinColumnThreads = 64;
constexpr int32_t kBusyThreads = 128; // of a block, where every multiprocessor has one
constexpr int32_t kMaxColumnLanes = 8; // vectors of a column: a cache line. [8, 64, 512, 512]: 4 took 334 us, 8 284
constexpr int32_t kMinColumnLanes = 2; // a sector of 32 bytes: of narrower columns each would be read twice
constexpr int32_t kBlockColumnLanes =
    4; // if one block then does. [16, 512, 32, 32]: 14.1 us, clusters of wider ones 16.8
constexpr int32_t kTilePixels = 8; // vectors that a thread holds
constexpr int64_t kPixelAlignment = 32; // of the blocks' pixels: whole cache lines, whatever the channels
constexpr int32_t kMaxClusterBlocks = 8; // what every GPU with clusters takes
constexpr int32_t kClusterMajorVersion = 9;
constexpr int32_t kMaxGridColumnBlocks = 1024; // of a cooperative grid; bounds the workspace
constexpr int64_t kMaxColumnBlocks = 1 << 20; // of any other: more columns are launched one after another
constexpr int64_t kChannelTotalsBytes = 16; // sizeof(ChannelTotals)

struct ChannelsLastConfig
{
    bool isResident; // columns are held in registers; otherwise the grid is a cooperative one
    int32_t threads; // of a block
    int32_t lanes; // vectors of a column, a power of two
    int32_t splits; // blocks of a column; a power of two if resident
    int64_t pixelsPerSplit;
    int64_t columns; // of all images
    int64_t columnsAtOnce; // of one launch if resident, otherwise between two barriers: all, unless there are more than
                           // blocks

    constexpr int64_t blocks() const { return columnsAtOnce * splits; }
};

// What a launch has to do.
struct ChannelsLastShape
{
    int64_t batch;
    int64_t pixels; // of an image
    int64_t vectorsPerPixel;

    constexpr int64_t columnsPerImage(int32_t lanes) const { return (vectorsPerPixel + lanes - 1) / lanes; }
    constexpr int64_t numColumns(int32_t lanes) const { return batch * columnsPerImage(lanes); }
};

// What it runs on.
struct ChannelsLastDevice
{
    int32_t numProcessors;
    bool hasClusters;
};

namespace columns
{

constexpr int32_t widest(ChannelsLastShape const& shape, int32_t maxLanes)
{
    return static_cast<int32_t>(std::min<int64_t>(nextPowerOfTwo(shape.vectorsPerPixel), maxLanes));
}

// Pixels that one thread of a resident launch has to hold: as few as keep all multiprocessors busy.
constexpr int64_t pixelsPerThread(ChannelsLastShape const& shape, ChannelsLastDevice const& device)
{
    int64_t const numVectors = shape.batch * shape.pixels * shape.vectorsPerPixel;
    return std::clamp<int64_t>(ceilDivide(numVectors, int64_t{device.numProcessors} * kBusyThreads), 1, kTilePixels);
}

} // namespace columns

// Narrow columns where wide ones would leave multiprocessors idle, not fit a cluster, or need one for want of a
// narrower column that fits a block.
constexpr int32_t chooseResidentLanes(
    ChannelsLastShape const& shape, ChannelsLastDevice const& device, int64_t pixelLanes)
{
    int64_t const maxThreads = kColumnThreads * (device.hasClusters ? kMaxClusterBlocks : 1);
    int32_t lanes = columns::widest(shape, kMaxColumnLanes);
    bool isWide = true;
    while (isWide && lanes > kMinColumnLanes)
    {
        int64_t const threads = pixelLanes * lanes;
        bool const isIdle = shape.numColumns(lanes) * ceilDivide(threads, kBusyThreads) < device.numProcessors;
        bool const couldFitBlock = threads > kColumnThreads && pixelLanes * kBlockColumnLanes <= kColumnThreads;
        isWide = threads > maxThreads || isIdle || couldFitBlock;
        lanes = isWide ? lanes / 2 : lanes;
    }
    return lanes;
}

// As many blocks for each column as the multiprocessors can take.
constexpr ChannelsLastConfig chooseResidentColumns(ChannelsLastShape const& shape, ChannelsLastDevice const& device)
{
    int64_t const pixelLanes = ceilDivide(shape.pixels, columns::pixelsPerThread(shape, device));
    int64_t const maxSplits = device.hasClusters ? kMaxClusterBlocks : 1;
    int32_t const lanes = chooseResidentLanes(shape, device, pixelLanes);
    int64_t const neededThreads = nextPowerOfTwo(pixelLanes * lanes);
    int64_t splits = std::min(ceilDivide(neededThreads, kColumnThreads), maxSplits);
    while (splits < maxSplits && neededThreads / splits > kBusyThreads
        && shape.numColumns(lanes) * splits * 2 <= device.numProcessors)
    {
        splits *= 2;
    }
    int64_t const threads = std::clamp<int64_t>(neededThreads / splits, kMinColumnThreads, kColumnThreads);
    int64_t const numColumns = shape.numColumns(lanes);
    return {true, static_cast<int32_t>(threads), lanes, static_cast<int32_t>(splits), ceilDivide(shape.pixels, splits),
        numColumns, std::min(numColumns, kMaxColumnBlocks / splits)};
}

constexpr bool fitsRegisters(ChannelsLastConfig const& config)
{
    return config.pixelsPerSplit <= int64_t{config.threads} / config.lanes * kTilePixels;
}

// One block for each multiprocessor. All columns at once: an image at a time, which the cache would hold, took longer
// ([8, 64, 512, 512]: 292 us, all at once 284).
constexpr ChannelsLastConfig chooseGridColumns(ChannelsLastShape const& shape, ChannelsLastDevice const& device)
{
    int32_t const lanes = columns::widest(shape, kMaxColumnLanes);
    int64_t const numColumns = shape.numColumns(lanes);
    int64_t const numBlocks = std::min(device.numProcessors, kMaxGridColumnBlocks);
    int64_t const numRounds = ceilDivide(numColumns, numBlocks);
    int64_t const columnsAtOnce = ceilDivide(numColumns, numRounds);
    int64_t const evenPixels = ceilDivide(shape.pixels, numBlocks / columnsAtOnce);
    int64_t const pixelsPerSplit = ceilDivide(evenPixels, kPixelAlignment) * kPixelAlignment;
    int64_t const splits = ceilDivide(shape.pixels, pixelsPerSplit);
    return {false, kColumnThreads, lanes, static_cast<int32_t>(splits), pixelsPerSplit, numColumns, columnsAtOnce};
}

constexpr ChannelsLastConfig chooseChannelsLastConfig(ChannelsLastShape const& shape, ChannelsLastDevice const& device)
{
    ChannelsLastConfig const resident = chooseResidentColumns(shape, device);
    return fitsRegisters(resident) ? resident : chooseGridColumns(shape, device);
}

// Enough for every tensor of images of at most this many pixels, on any GPU: that of the largest shape of a profile
// serves the smaller ones. A cooperative grid reuses it at every other barrier.
constexpr int64_t channelsLastWorkspaceBytes(int64_t maxPixels)
{
    constexpr int64_t kColumnChannels = kMaxColumnLanes * 8;
    bool const isResident = maxPixels <= kColumnThreads / kMaxColumnLanes * kTilePixels; // even with no cluster
    return isResident ? 0 : 2 * kMaxGridColumnBlocks * kColumnChannels * kChannelTotalsBytes;
}

} // namespace trtconv
