// A request as axes in memory order: what the map of a kernel is made of. Pure host arithmetic, tested without a GPU.
#pragma once

#include <cstdint>

#include "common/integer_maths.h"
#include "common/layout.h"
#include "gather/request.h"

namespace trtconv
{

// One axis of an output, and where its neighbours lie in the input.
struct MapAxisShape
{
    int64_t inputSize = 1;
    int64_t inputStride = 0; // in units of the shape
    int64_t padBegin = 0;
    int64_t padEnd = 0;
    int64_t upsample = 1;
    PadMode mode = PadMode::kZero;

    constexpr int64_t outputSize() const { return padBegin + inputSize * upsample + padEnd; }
    constexpr bool isMapped() const { return padBegin != 0 || padEnd != 0 || upsample != 1; }
};

// The axes of an output in memory order, neighbours merged where possible.
struct MapShape
{
    int32_t rank = 0;
    MapAxisShape axes[kMaxRank]{};

    constexpr int64_t numOutputs() const
    {
        int64_t product = 1;
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            product *= axes[axis].outputSize();
        }
        return product;
    }

    // Returns the offset of the input's last unit.
    constexpr int64_t largestOffset() const
    {
        int64_t sum = 0;
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            sum += (axes[axis].inputSize - 1) * axes[axis].inputStride;
        }
        return sum;
    }

    // Adds an axis within the last one; merges the two where neither is mapped and the input has no gap between them.
    constexpr void append(MapAxisShape const& axis)
    {
        MapAxisShape* const last = rank > 0 ? &axes[rank - 1] : nullptr;
        if (last != nullptr && !last->isMapped() && !axis.isMapped()
            && last->inputStride == axis.inputStride * axis.inputSize)
        {
            last->inputSize *= axis.inputSize;
            last->inputStride = axis.inputStride;
            return;
        }
        axes[rank] = axis;
        ++rank;
    }
};

// Returns the shape with a row around its columns, if it has no rows: images are frequent, so kernels know rank 2.
constexpr MapShape withRows(MapShape const& shape)
{
    return shape.rank == 1 ? MapShape{2, {{1, shape.axes[0].inputSize * shape.axes[0].inputStride}, shape.axes[0]}}
                           : shape;
}

constexpr MapAxisShape axisOf(MapRequest const& request, int32_t axis, int64_t inputStride)
{
    return {request.sizes[axis], inputStride, request.pads[axis], request.pads[request.rank + axis],
        request.upsample[axis], request.mode};
}

// Returns the product of the sizes of X's axes from `begin` on.
constexpr int64_t innerSize(MapRequest const& request, int32_t begin)
{
    int64_t product = 1;
    for (int32_t axis = begin; axis < request.rank; ++axis)
    {
        product *= request.sizes[axis];
    }
    return product;
}

// Adds the spatial axes; a step along the last one is `stride` units of the input.
constexpr void appendSpatialAxes(MapShape& shape, MapRequest const& request, int64_t stride)
{
    for (int32_t axis = 2; axis < request.rank; ++axis)
    {
        shape.append(axisOf(request, axis, innerSize(request, axis + 1) * stride));
    }
}

// Returns the elements of X in memory, with what fills vectors up.
constexpr int64_t countStored(MapRequest const& request, Layout layout, int32_t elementBytes)
{
    int64_t const lanes = channelLanes(layout, elementBytes);
    return layout == Layout::kLinear
        ? innerSize(request, 0)
        : request.sizes[0] * ceilDivide(request.sizes[1], lanes) * lanes * innerSize(request, 2);
}

// The shape by elements, for any request that canMapBetween. What fills vectors up counts as a zero pad of the
// channels.
constexpr MapShape makeElementShape(MapRequest const& request, int32_t inputBytes, int32_t outputBytes)
{
    MapShape shape{};
    int64_t const spatial = innerSize(request, 2);
    Layout const input = request.inputLayout;
    if (request.outputLayout == Layout::kLinear && input == Layout::kLinear)
    {
        for (int32_t axis = 0; axis < request.rank; ++axis)
        {
            shape.append(axisOf(request, axis, innerSize(request, axis + 1)));
        }
        return shape;
    }
    int64_t const inputLanes = channelLanes(input, inputBytes);
    int64_t const inputChannels = ceilDivide(request.sizes[1], inputLanes) * inputLanes;
    shape.append(axisOf(request, 0, inputChannels * spatial));
    if (request.outputLayout == Layout::kBlocksOf4 || request.outputLayout == Layout::kBlocksOf32)
    {
        shape.append({inputChannels / inputLanes, inputLanes * spatial, 0, 0, 1, PadMode::kZero});
        appendSpatialAxes(shape, request, inputLanes);
        shape.append({inputLanes, 1, 0, 0, 1, PadMode::kZero});
        return shape;
    }
    bool const isFromLinear = input == Layout::kLinear;
    int64_t const channelStride = isFromLinear ? spatial : 1;
    int64_t const pixelStride = isFromLinear ? 1 : inputChannels;
    if (request.outputLayout == Layout::kLinear)
    {
        shape.append({request.sizes[1], channelStride, 0, 0, 1, PadMode::kZero});
        appendSpatialAxes(shape, request, pixelStride);
        return shape;
    }
    int64_t const outputLanes = channelLanes(request.outputLayout, outputBytes);
    int64_t const filling = ceilDivide(request.sizes[1], outputLanes) * outputLanes - request.sizes[1];
    appendSpatialAxes(shape, request, pixelStride);
    shape.append({request.sizes[1], channelStride, 0, filling, 1, PadMode::kZero});
    return shape;
}

// The shape by pixels of a tensor with all its images, for two channels-last layouts.
constexpr MapShape makePixelShape(MapRequest const& request)
{
    MapShape shape{};
    shape.append(axisOf(request, 0, innerSize(request, 2)));
    appendSpatialAxes(shape, request, 1);
    return shape;
}

// The shape by pixels of one image, for a linear layout and a channels-last one.
constexpr MapShape makeImageShape(MapRequest const& request)
{
    MapShape shape{};
    appendSpatialAxes(shape, request, 1);
    return withRows(shape);
}

// A shape whose unit is a word of `bytes` bytes.
struct MapWords
{
    MapShape shape;
    int32_t bytes;
};

constexpr int32_t kMaxWordBytes = 8; // of the words that are moved in a linear layout

// Makes words as wide as an unmapped last axis and the alignment of both tensors allow.
constexpr MapWords widenWords(MapShape shape, int32_t elementBytes, uint64_t alignment)
{
    MapAxisShape& last = shape.axes[shape.rank - 1];
    int32_t bytes = elementBytes;
    while (!last.isMapped() && last.inputStride == 1 && bytes < kMaxWordBytes && last.inputSize % 2 == 0
        && alignment % (2 * static_cast<uint64_t>(bytes)) == 0)
    {
        bytes *= 2;
        last.inputSize /= 2;
        for (int32_t axis = 0; axis < shape.rank - 1; ++axis)
        {
            shape.axes[axis].inputStride /= 2;
        }
    }
    return {shape, bytes};
}

template <typename Index, int32_t Rank = kAnyRank>
OutputMap<Index, Rank> makeOutputMap(MapShape const& shape)
{
    OutputMap<Index, Rank> map{};
    map.anyRank = shape.rank;
    map.numOutputs = static_cast<Index>(shape.numOutputs());
    for (int32_t i = 0; i < shape.rank; ++i)
    {
        MapAxisShape const& axis = shape.axes[i];
        map.axes[i] = {static_cast<Index>(axis.inputSize * axis.upsample), static_cast<Index>(axis.padBegin),
            static_cast<Index>(axis.inputStride), axis.mode, FastDivisor<Index>(static_cast<Index>(axis.upsample)),
            FastDivisor<Index>(static_cast<Index>(axis.outputSize()))};
    }
    return map;
}

// An output whose first axis counts planes that are all mapped alike.
struct MapPlanes
{
    int64_t numPlanes;
    int64_t planeStride; // in the input
    MapShape plane;
};

// Takes the planes off a shape; one that is mapped along its first axis is a single plane.
constexpr MapPlanes makePlanes(MapShape const& shape)
{
    if (shape.rank < 2 || shape.axes[0].isMapped())
    {
        return {1, 0, withRows(shape)};
    }
    MapPlanes planes{shape.axes[0].inputSize, shape.axes[0].inputStride, {}};
    for (int32_t axis = 1; axis < shape.rank; ++axis)
    {
        planes.plane.axes[axis - 1] = shape.axes[axis];
    }
    planes.plane.rank = shape.rank - 1;
    planes.plane = withRows(planes.plane);
    return planes;
}

} // namespace trtconv
