// How the norm is launched on channels-last tensors: pure host arithmetic, tested without a GPU.
//
// A pixel's channels are read as vectors of 16 bytes, one by each thread. A few neighbouring vectors of all pixels of
// an image are a column; blocks share a column, each with a run of its pixels. A column that fits the registers of one
// block or of a cluster is read once, and so are all columns if together they fit the registers of a cooperative grid.
// Otherwise such a grid streams columns through shared memory, which holds what it can of them from one reading to the
// next.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/device_limits.h"
#include "common/integer_maths.h"
#include "common/lanes.h"

namespace trtconv::channels_last
{

// All figures are of fp16 on the H100.
constexpr int32_t kColumnThreads = 512; // threads of a block, at most
constexpr int32_t kMinColumnThreads = 64;
constexpr int32_t kBusyThreads = 128; // threads of a block where every multiprocessor has one block
// Threads of a cluster's block, unless the cluster already has the most blocks: two blocks on a multiprocessor take
// turns with memory. [16, 512, 32, 32]: blocks of 512 threads took 13.6 us, clusters of two 12.5.
constexpr int32_t kColumnClusterThreads = 256;
constexpr int32_t kMaxColumnLanes = 8; // vectors of a column: a cache line. [8, 64, 512, 512]: 4 took 334 us, 8 284
constexpr int32_t kMinColumnLanes = 2; // a sector of 32 bytes: narrower columns would read each sector twice
// Vectors of a column that one block can hold only if it is this narrow. [16, 512, 32, 32]: 14.1 us, clusters of wider
// columns 16.8.
constexpr int32_t kBlockColumnLanes = 4;
constexpr int32_t kGridColumnLanes =
    4; // vectors of a resident grid's column. [1, 64, 256, 256]: 2 took 12.4 us, 4 10.1, 8 10.9
constexpr int32_t kTilePixels = 8; // vectors that a thread of a resident kernel holds
constexpr int64_t kMaxBlockPixels = kColumnThreads / kMaxColumnLanes * kTilePixels; // pixels that fit any block
constexpr int64_t kPixelAlignment = 32; // pixels of a grid's block are a multiple: whole cache lines for any channels
// Blocks of a cluster that every GPU with clusters takes. Clusters of 16, of which an H100 holds 14 if their blocks
// have 256 threads and 7 if 512, gain nothing: [1, 512, 64, 64] 8.4 us in place of a grid's 8.5, [1, 256, 128,
// 128] 15.2 and 15.5.
constexpr int32_t kMaxClusterBlocks = 8;
// Blocks of a cooperative grid, at most. It bounds the workspace; no GPU has so many multiprocessors.
constexpr int32_t kMaxGridColumnBlocks = 256;
constexpr int32_t kMaxSplitBlocks = 512; // blocks of a split launch of fewer columns, at most; bounds the workspace
constexpr int64_t kMaxColumnBlocks = 1 << 20; // blocks of any other grid, at most; more columns take several launches

constexpr int32_t kStreamedThreads = 256; // threads of a block. [8, 64, 512, 512]: 256 took 261 us, 384 262, 512 275
constexpr int32_t kStepVectors = 4; // vectors that a thread takes at once
constexpr int32_t kStepBytes = kStreamedThreads * kStepVectors * kVectorBytes;
constexpr int32_t kStepsAhead = 2; // steps that are on their way while others are held
constexpr int32_t kStreamedStaticBytes = 9216; // shared memory beside the steps

enum class Method : int32_t
{
    kBlock, // a block holds a column in registers
    kCluster, // a cluster holds a column in registers
    kGrid, // a cooperative grid holds all columns in registers
    kStreamed, // a cooperative grid streams columns through shared memory
    kSplit, // three kernels, two of which read the tensor: for groups of channels that lie in several columns
};

struct Config
{
    Method method;
    int32_t threads; // of a block
    int32_t lanes; // vectors of a column, a power of two
    int32_t splits; // blocks of a column
    int64_t pixelsPerSplit;
    int64_t columns; // of all images
    int64_t columnsAtOnce; // of a launch, or of a round of a streamed launch

    // Steps of a thread of a streamed launch.
    int32_t slots = 0; // that shared memory has room for
    int32_t steps = 0; // of a column
    int32_t repeats = 0; // of a column that shared memory does not keep, so that they are read again

    constexpr int64_t blocks() const { return columnsAtOnce * splits; }
    constexpr bool isCooperative() const { return method == Method::kGrid || method == Method::kStreamed; }
};

// The tensor as a launch choice sees it.
struct Shape
{
    int64_t batch;
    int64_t pixels; // of an image
    int64_t vectorsPerPixel;
    int32_t minLanes = kMinColumnLanes; // more where a column has to hold a wide group

    constexpr int64_t columnsPerImage(int32_t lanes) const { return ceilDivide(vectorsPerPixel, lanes); }
    constexpr int64_t numColumns(int32_t lanes) const { return batch * columnsPerImage(lanes); }
};

constexpr int32_t maxClusterBlocks(DeviceLimits const& device)
{
    return device.majorVersion >= kHopperMajorVersion ? kMaxClusterBlocks : 1;
}

constexpr int32_t maxGridBlocks(DeviceLimits const& device)
{
    return std::min(device.numProcessors, kMaxGridColumnBlocks);
}

// Returns how many steps of a streamed launch shared memory has room for.
constexpr int32_t numSlots(DeviceLimits const& device)
{
    return (device.sharedBytesPerBlock - kStreamedStaticBytes) / kStepBytes;
}

constexpr int32_t widestLanes(Shape const& shape, int32_t maxLanes)
{
    return static_cast<int32_t>(std::min<int64_t>(nextPowerOfTwo(shape.vectorsPerPixel), maxLanes));
}

// Returns how many pixels a thread of a block or a cluster holds: as few as keep all multiprocessors busy.
constexpr int64_t pixelsPerThread(Shape const& shape, DeviceLimits const& device)
{
    int64_t const numVectors = shape.batch * shape.pixels * shape.vectorsPerPixel;
    return std::clamp<int64_t>(ceilDivide(numVectors, int64_t{device.numProcessors} * kBusyThreads), 1, kTilePixels);
}

// Returns how many pixels each of at most `maxSplits` blocks of a column has.
constexpr int64_t alignedShare(int64_t pixels, int64_t maxSplits)
{
    return ceilDivide(ceilDivide(pixels, maxSplits), kPixelAlignment) * kPixelAlignment;
}

// Returns the width of columns. They are narrow where wide ones would leave most multiprocessors idle, would not fit a
// cluster, or would need a cluster where narrower ones fit a block. [1, 256, 64, 64]: 64 clustered blocks of 256
// threads took 5.0 us, 128 of 128 5.3. The widest are also halved
// - where that gives idle multiprocessors work. [1, 512, 32, 32]: 64 clustered blocks of 256 threads took 4.3 us,
//   128 of 128 3.9;
// - where a multiprocessor would have one full block. [2, 320, 64, 64]: 80 clustered blocks of 512 threads took 8.1 us,
//   160 of 256 6.3; [1, 512, 64, 64]: 64 of 512 7.1, 128 of 256 6.0.
constexpr int32_t chooseResidentLanes(Shape const& shape, DeviceLimits const& device, int64_t pixelLanes)
{
    int64_t const maxBlocks = maxClusterBlocks(device);
    int32_t lanes = widestLanes(shape, kMaxColumnLanes);
    bool isWide = true;
    while (isWide && lanes > shape.minLanes)
    {
        int64_t const threads = pixelLanes * lanes;
        int64_t const blocks = shape.numColumns(lanes) * std::min(ceilDivide(threads, kBusyThreads), maxBlocks);
        bool const isWidest = lanes > kBlockColumnLanes;
        int64_t const busyTenths = isWidest ? 5 : 4;
        bool const isIdle = threads > kBusyThreads && blocks * 10 < device.numProcessors * busyTenths;
        bool const isFull = isWidest && threads > kColumnClusterThreads * maxBlocks && blocks <= device.numProcessors;
        bool const couldFitBlock = threads > kColumnThreads && pixelLanes * kBlockColumnLanes <= kColumnThreads;
        isWide = threads > kColumnThreads * maxBlocks || isIdle || isFull || couldFitBlock;
        lanes = isWide ? lanes / 2 : lanes;
    }
    return lanes;
}

// Gives each column as many blocks as the multiprocessors can take.
constexpr Config chooseClusterColumns(Shape const& shape, DeviceLimits const& device)
{
    int64_t const pixelLanes = ceilDivide(shape.pixels, pixelsPerThread(shape, device));
    int64_t const maxSplits = maxClusterBlocks(device);
    int32_t const lanes = chooseResidentLanes(shape, device, pixelLanes);
    int64_t const neededThreads = nextPowerOfTwo(pixelLanes * lanes);
    int64_t splits = std::min(ceilDivide(neededThreads, kColumnClusterThreads), maxSplits);
    while (splits < maxSplits && neededThreads / splits > kBusyThreads
        && shape.numColumns(lanes) * splits * 2 <= device.numProcessors)
    {
        splits *= 2;
    }
    int64_t const threads = std::clamp<int64_t>(neededThreads / splits, kMinColumnThreads, kColumnThreads);
    int64_t const numColumns = shape.numColumns(lanes);
    return {splits > 1 ? Method::kCluster : Method::kBlock, static_cast<int32_t>(threads), lanes,
        static_cast<int32_t>(splits), ceilDivide(shape.pixels, splits), numColumns,
        std::min(numColumns, kMaxColumnBlocks / splits)};
}

constexpr int32_t residentGridLanes(Shape const& shape)
{
    return widestLanes(shape, std::max(kGridColumnLanes, shape.minLanes));
}

// Takes all columns at once, on as many multiprocessors as there are.
constexpr Config chooseGridColumns(Shape const& shape, DeviceLimits const& device)
{
    int32_t const lanes = residentGridLanes(shape);
    int64_t const numColumns = shape.numColumns(lanes);
    int64_t const maxSplits = std::max<int64_t>(maxGridBlocks(device) / numColumns, 1);
    int64_t const pixelsPerSplit = alignedShare(shape.pixels, maxSplits);
    int64_t const threads = nextPowerOfTwo(ceilDivide(pixelsPerSplit, kTilePixels) * lanes);
    return {Method::kGrid, static_cast<int32_t>(std::clamp<int64_t>(threads, kMinColumnThreads, kColumnThreads)), lanes,
        static_cast<int32_t>(ceilDivide(shape.pixels, pixelsPerSplit)), pixelsPerSplit, numColumns, numColumns};
}

constexpr Config streamColumns(Shape const& shape, DeviceLimits const& device, int64_t columnsAtOnce)
{
    int32_t const lanes = widestLanes(shape, kMaxColumnLanes);
    int64_t const pixelsPerSplit = alignedShare(shape.pixels, maxGridBlocks(device) / columnsAtOnce);
    int64_t const vectors = ceilDivide(pixelsPerSplit * lanes, kStreamedThreads); // of a thread
    auto const steps = static_cast<int32_t>(ceilDivide(vectors, kStepVectors));
    return {Method::kStreamed, kStreamedThreads, lanes, static_cast<int32_t>(ceilDivide(shape.pixels, pixelsPerSplit)),
        pixelsPerSplit, shape.numColumns(lanes), columnsAtOnce, numSlots(device), steps,
        std::max(steps - (numSlots(device) - kStepsAhead), 0)};
}

// Gives each multiprocessor one block. The blocks work on so many columns at once that a thread has few steps of each:
// not many more than it has slots. [8, 64, 512, 512]: one at once, in 16 steps, took 261 us, two, in 32, 282.
// [4, 128, 256, 256]: two, in 8 steps, took 74 us, four, in 16, 71, eight, in 32, 76.
constexpr Config chooseStreamedColumns(Shape const& shape, DeviceLimits const& device)
{
    int32_t const lanes = widestLanes(shape, kMaxColumnLanes);
    int64_t const fewSteps = numSlots(device) * 5 / 4;
    int64_t const minSplits = ceilDivide(shape.pixels * lanes, fewSteps * kStepVectors * kStreamedThreads);
    int64_t const numColumns = shape.numColumns(lanes);
    int64_t const maxAtOnce = std::clamp<int64_t>(maxGridBlocks(device) / minSplits, 1, numColumns);
    return streamColumns(shape, device, ceilDivide(numColumns, ceilDivide(numColumns, maxAtOnce)));
}

constexpr bool fitsRegisters(Config const& config)
{
    return config.pixelsPerSplit <= int64_t{config.threads} / config.lanes * kTilePixels;
}

// Clusters hand over in less time than a grid, but they are not taken
// - where they keep less than half of the multiprocessors busy, and a grid all of them. [1, 128, 128, 128]: 64
//   clustered blocks of 512 threads took 8.2 us, a grid of 128 of 256 7.5;
// - where many columns, or large ones of pixels of several cache lines, are narrower than they could be, as each
//   piece of 32 bytes is fetched alone. [16, 64, 128, 128] took 43.8 us, streamed 36.2; [16, 32, 96, 96] 15.1,
//   streamed 13.5; [1, 256, 128, 128] 15.6, a grid 9.9; [1, 256, 96, 96] 11.7, a grid 8.2.
constexpr Config chooseConfig(Shape const& shape, DeviceLimits const& device)
{
    Config const cluster = chooseClusterColumns(shape, device);
    Config const grid = chooseGridColumns(shape, device);
    bool const fitsGrid = grid.blocks() <= maxGridBlocks(device) && fitsRegisters(grid);
    bool const isIdle = fitsGrid && shape.pixels > kMaxBlockPixels && cluster.threads == kColumnThreads
        && cluster.blocks() * 2 < device.numProcessors;
    bool const isLarge = cluster.threads == kColumnThreads && shape.vectorsPerPixel > kMaxColumnLanes;
    bool const isNarrow = cluster.method == Method::kCluster && cluster.lanes == kMinColumnLanes
        && widestLanes(shape, kMaxColumnLanes) > kMinColumnLanes
        && (isLarge || cluster.blocks() > device.numProcessors);
    if (fitsRegisters(cluster) && !isIdle && !isNarrow)
    {
        return cluster;
    }
    return fitsGrid ? grid : chooseStreamedColumns(shape, device);
}

// Whether no group of channels lies in two columns of this many vectors.
constexpr bool areGroupsWhole(Shape const& shape, int32_t lanes, int64_t channelsPerGroup, int32_t vectorChannels)
{
    return lanes * vectorChannels % channelsPerGroup == 0 || shape.columnsPerImage(lanes) == 1;
}

// Gives each multiprocessor two blocks of a launch that reads its input twice.
constexpr Config splitColumns(Shape const& shape, DeviceLimits const& device)
{
    int32_t const lanes = widestLanes(shape, kMaxColumnLanes);
    int64_t const numColumns = shape.numColumns(lanes);
    int64_t const wanted = std::min<int64_t>(int64_t{device.numProcessors} * 2, kMaxSplitBlocks);
    int64_t const pixelsPerSplit = alignedShare(shape.pixels, std::max<int64_t>(wanted / numColumns, 1));
    return {Method::kSplit, kStreamedThreads, lanes, static_cast<int32_t>(ceilDivide(shape.pixels, pixelsPerSplit)),
        pixelsPerSplit, numColumns, numColumns};
}

// Returns the width of columns that hold a whole group of channels, or the widest.
constexpr int32_t minGroupLanes(int64_t channelsPerGroup, int32_t vectorChannels)
{
    int64_t const groupLanes = nextPowerOfTwo(ceilDivide(channelsPerGroup, vectorChannels));
    return static_cast<int32_t>(std::clamp<int64_t>(groupLanes, kMinColumnLanes, kMaxColumnLanes));
}

// Chooses for channels that are normalised in groups, each by itself if a group has one.
constexpr Config chooseGroupConfig(
    Shape shape, DeviceLimits const& device, int64_t channelsPerGroup, int32_t vectorChannels)
{
    shape.minLanes = minGroupLanes(channelsPerGroup, vectorChannels);
    Config const config = chooseConfig(shape, device);
    return areGroupsWhole(shape, config.lanes, channelsPerGroup, vectorChannels) ? config : splitColumns(shape, device);
}

} // namespace trtconv::channels_last
