// How ReflectPad is launched: pure host arithmetic, tested without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "common/integer_maths.h"
#include "common/layout.h"
#include "result/reflect_map.h"

namespace trtconv
{

constexpr int32_t kPadThreads = 256;
constexpr int64_t kMaxPadBlocks = 1 << 20; // blocks loop over more work than that
constexpr int64_t kMaxPadBlockRows = 65535; // rows of blocks that a grid takes; they loop too

// The shape of a ReflectPad, its axes in memory order, neighbours merged where possible.
struct PadShape
{
    int32_t rank;
    int64_t inputSizes[kMaxRank];
    int64_t padBegins[kMaxRank];
    int64_t padEnds[kMaxRank];

    constexpr int64_t outputSize(int32_t axis) const { return padBegins[axis] + inputSizes[axis] + padEnds[axis]; }
    constexpr bool isPadded(int32_t axis) const { return padBegins[axis] != 0 || padEnds[axis] != 0; }

    constexpr int64_t numInputs() const
    {
        int64_t product = 1;
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            product *= inputSizes[axis];
        }
        return product;
    }

    constexpr int64_t numOutputs() const
    {
        int64_t product = 1;
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            product *= outputSize(axis);
        }
        return product;
    }

    // Adds an axis within the last one; merges the two where neither is padded.
    constexpr void append(int64_t inputSize, int64_t padBegin, int64_t padEnd)
    {
        if (rank > 0 && !isPadded(rank - 1) && padBegin == 0 && padEnd == 0)
        {
            inputSizes[rank - 1] *= inputSize;
            return;
        }
        inputSizes[rank] = inputSize;
        padBegins[rank] = padBegin;
        padEnds[rank] = padEnd;
        ++rank;
    }
};

// Returns the first axis whose padding is negative or not smaller than its size, which ONNX forbids; -1 if none.
template <typename Size, typename Pad>
constexpr int32_t findBadPad(int32_t rank, Size const* sizes, Pad const* pads)
{
    for (int32_t axis = 0; axis < rank; ++axis)
    {
        int64_t const padBegin = pads[axis];
        int64_t const padEnd = pads[rank + axis];
        bool const isPadded = padBegin != 0 || padEnd != 0;
        if (padBegin < 0 || padEnd < 0 || (isPadded && std::max(padBegin, padEnd) >= sizes[axis]))
        {
            return axis;
        }
    }
    return -1;
}

// Whether a tensor of this rank with these pads can lie in that layout: its channels must not be padded, because that
// would move them between vectors.
template <typename Pad>
constexpr bool canPadIn(Layout layout, int32_t rank, Pad const* pads)
{
    return layout == Layout::kLinear || (rank >= 3 && rank < kMaxRank && pads[1] == 0 && pads[rank + 1] == 0);
}

// Puts the axes of a tensor in that layout into memory order. `pads` in ONNX order: all begins, then all ends.
template <typename Size, typename Pad>
constexpr PadShape makePadShape(Layout layout, int32_t elementBytes, int32_t rank, Size const* sizes, Pad const* pads)
{
    PadShape shape{};
    if (layout == Layout::kLinear)
    {
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            shape.append(sizes[axis], pads[axis], pads[rank + axis]);
        }
        return shape;
    }
    int64_t const lanes = channelLanes(layout, elementBytes);
    int64_t const groups = ceilDivide(sizes[1], lanes);
    bool const isChannelsLast = layout == Layout::kChannelsLast;
    shape.append(sizes[0], pads[0], pads[rank]);
    if (!isChannelsLast)
    {
        shape.append(groups, 0, 0);
    }
    for (int32_t axis = 2; axis < rank; ++axis)
    {
        shape.append(sizes[axis], pads[axis], pads[rank + axis]);
    }
    shape.append(isChannelsLast ? groups * lanes : lanes, 0, 0);
    return shape;
}

// Returns the number of channels of a tensor whose vectors they may fill only in part, else 0. What lies between the
// channels and whole vectors is not part of the tensor, but a convolution multiplies it by zero, so it must be finite.
// Blocks of channels hold integers, which always are.
template <typename Size>
constexpr int64_t channelsToMask(Layout layout, Size const* sizes)
{
    return layout == Layout::kChannelsLast ? sizes[1] : 0;
}

// A shape whose unit is a word of `bytes` bytes.
struct PadWords
{
    PadShape shape;
    int32_t bytes;
};

// Makes words as wide as an unpadded last axis and the alignment of both tensors allow, 16 bytes at most.
constexpr PadWords widenWords(PadShape shape, int32_t elementBytes, uint64_t alignment)
{
    int32_t const last = shape.rank - 1;
    int32_t bytes = elementBytes;
    while (!shape.isPadded(last) && bytes < kVectorBytes && shape.inputSizes[last] % 2 == 0
        && alignment % (2 * static_cast<uint64_t>(bytes)) == 0)
    {
        bytes *= 2;
        shape.inputSizes[last] /= 2;
    }
    bool const isOneWord = !shape.isPadded(last) && shape.inputSizes[last] == 1 && shape.rank > 1;
    shape.rank -= isOneWord ? 1 : 0;
    return {shape, bytes};
}

template <typename Index, int32_t Rank = kAnyRank>
PadMap<Index, Rank> makePadMap(PadShape const& shape)
{
    PadMap<Index, Rank> map{};
    map.anyRank = shape.rank;
    map.numInputs = static_cast<Index>(shape.numInputs());
    map.numOutputs = static_cast<Index>(shape.numOutputs());
    int64_t inputStride = 1;
    for (int32_t axis = shape.rank - 1; axis >= 0; --axis)
    {
        map.axes[axis] = {static_cast<Index>(shape.inputSizes[axis]), static_cast<Index>(shape.padBegins[axis]),
            static_cast<Index>(inputStride), FastDivisor<Index>(static_cast<Index>(shape.outputSize(axis)))};
        inputStride *= shape.inputSizes[axis];
    }
    return map;
}

// Planes in which a thread of a plane launch pads the same word. H100, [1,64,256,256] by 3 in fp32: 1 took 13.1 us, 2
// 9.2, 4 8.7, 8 9.0.
constexpr int32_t kPadPlanes = 4;
// A row is long from this many words on, times the bytes of a word: whole vectors then gain more than the ends of rows
// cost. H100: [1,64,256,256] by 3 in fp32 took 8.7 us by planes and 11.0 by vectors, [8,64,512,512] by 3 371 and 363;
// [1,64,257,250] by 3 in fp16 4.8 and 6.0, [1,3,1080,1920] by 4 8.2 and 6.3.
constexpr int64_t kLongRowWordsPerByte = 128;
// A tensor is small below this many words: the simpler kernel then gains more than whole vectors. H100: [1,512,1000] by
// 9 in fp32 took 1.8 us by planes and 2.2 by vectors, [1,3,256,256] by 3 in int8 1.1 and 1.5.
constexpr int64_t kFewPadWords = 1 << 20;

// Whether a shape is padded by planes, which its first axis counts and which are all padded alike; else by vectors. A
// plane must fill a block at least. In a single plane a thread has a single word: H100, [1,512,1000] by 9 took 2.4 us.
constexpr bool padsByPlanes(PadWords const& words)
{
    PadShape const& shape = words.shape;
    if (shape.rank < 2 || shape.isPadded(0) || shape.numOutputs() < shape.inputSizes[0] * kPadThreads)
    {
        return false;
    }
    bool const hasShortRows = shape.outputSize(shape.rank - 1) < kLongRowWordsPerByte * words.bytes;
    bool const isSmall = shape.numOutputs() < kFewPadWords;
    return shape.inputSizes[0] > 1 ? hasShortRows || isSmall : hasShortRows && isSmall;
}

// Returns the shape of one plane: all axes but the first.
constexpr PadShape planeOf(PadShape shape)
{
    for (int32_t axis = 1; axis < shape.rank; ++axis)
    {
        shape.inputSizes[axis - 1] = shape.inputSizes[axis];
        shape.padBegins[axis - 1] = shape.padBegins[axis];
        shape.padEnds[axis - 1] = shape.padEnds[axis];
    }
    --shape.rank;
    return shape;
}

constexpr int64_t choosePadBlockRows(int64_t numPlanes)
{
    return std::min(ceilDivide(numPlanes, kPadPlanes), kMaxPadBlockRows);
}

// Whether all word numbers, rounded up to whole vectors, fit the fast 32-bit arithmetic.
constexpr bool fitsFastIndex(int64_t numOutputs)
{
    return numOutputs <= std::numeric_limits<int32_t>::max() - 2 * kVectorBytes;
}

// Returns how many vectors of `vectorSize` words cover a tensor that begins `baseOffset` words after an aligned
// address.
constexpr int64_t countVectors(int64_t numWords, int32_t baseOffset, int32_t vectorSize)
{
    return ceilDivide(baseOffset + numWords, vectorSize);
}

// Gives each thread one vector: two or four took 3 to 25 % longer on the H100 ([8, 64, 512, 512] by 3 in fp32: 372 us,
// 402, 467).
constexpr int64_t choosePadBlocks(int64_t numVectors)
{
    return std::min(ceilDivide(numVectors, kPadThreads), kMaxPadBlocks);
}

static_assert(fitsFastIndex(int64_t{1} << 30) && !fitsFastIndex(int64_t{1} << 31));
static_assert(padsByPlanes({{3, {64, 256, 256}, {0, 3, 3}, {0, 3, 3}}, 4}));
static_assert(!padsByPlanes({{3, {512, 512, 512}, {0, 3, 3}, {0, 3, 3}}, 4}));
static_assert(choosePadBlockRows(5) == 2 && choosePadBlockRows(1 << 20) <= UINT16_MAX);
static_assert(choosePadBlocks(1) == 1 && choosePadBlocks(257) == 2);

} // namespace trtconv
