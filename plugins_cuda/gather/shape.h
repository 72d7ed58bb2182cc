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
    int64_t phases = 1; // each of inputSize elements
    int64_t phaseStride = 0;
    int64_t crop = 0;

    // Returns the size before the pads.
    constexpr int64_t upsampledSize() const { return (inputSize * phases - crop) * upsample; }
    constexpr int64_t outputSize() const { return padBegin + upsampledSize() + padEnd; }
    constexpr bool isMapped() const { return padBegin != 0 || padEnd != 0 || upsample != 1 || phases != 1; }
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
            sum +=
                (axes[axis].inputSize - 1) * axes[axis].inputStride + (axes[axis].phases - 1) * axes[axis].phaseStride;
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

// Returns the shape with axes of one element around it, if it has a lower rank: kernels know the rank of images, which
// are frequent.
constexpr MapShape withRank(MapShape shape, int32_t rank)
{
    while (shape.rank < rank)
    {
        for (int32_t axis = shape.rank; axis > 0; --axis)
        {
            shape.axes[axis] = shape.axes[axis - 1];
        }
        shape.axes[0] = {1, shape.axes[1].inputSize * shape.axes[1].inputStride};
        ++shape.rank;
    }
    return shape;
}

// Returns an axis; its last phases are `phaseUnit` units of the input apart.
constexpr MapAxisShape axisOf(MapRequest const& request, int32_t axis, int64_t inputStride, int64_t phaseUnit)
{
    int64_t const inputSize = axis == 1 ? request.channels() : request.sizes[axis];
    return {inputSize, inputStride, request.pads[axis], request.pads[request.rank + axis], request.upsample[axis],
        request.mode, request.phases[axis], request.numPhases(axis + 1) * phaseUnit, request.crop[axis]};
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

// Adds the spatial axes; a step along the last one is `stride` units of the input, one to the next phase `phaseUnit`.
constexpr void appendSpatialAxes(MapShape& shape, MapRequest const& request, int64_t stride, int64_t phaseUnit)
{
    for (int32_t axis = 2; axis < request.rank; ++axis)
    {
        shape.append(axisOf(request, axis, innerSize(request, axis + 1) * stride, phaseUnit));
    }
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
            shape.append(axisOf(request, axis, innerSize(request, axis + 1), request.channels() * spatial));
        }
        return shape;
    }
    int64_t const inputLanes = channelLanes(input, inputBytes);
    int64_t const inputChannels = ceilDivide(request.sizes[1], inputLanes) * inputLanes;
    shape.append(axisOf(request, 0, inputChannels * spatial, 0));
    if (request.outputLayout == Layout::kBlocksOf4 || request.outputLayout == Layout::kBlocksOf32)
    {
        shape.append({inputChannels / inputLanes, inputLanes * spatial, 0, 0, 1, PadMode::kZero});
        appendSpatialAxes(shape, request, inputLanes, 0);
        shape.append({inputLanes, 1, 0, 0, 1, PadMode::kZero});
        return shape;
    }
    bool const isFromLinear = input == Layout::kLinear;
    int64_t const channelStride = isFromLinear ? spatial : 1;
    int64_t const pixelStride = isFromLinear ? 1 : inputChannels;
    int64_t const channels = request.channels();
    int64_t const phaseUnit = channels * channelStride;
    if (request.outputLayout == Layout::kLinear)
    {
        shape.append({channels, channelStride, 0, 0, 1, PadMode::kZero});
        appendSpatialAxes(shape, request, pixelStride, phaseUnit);
        return shape;
    }
    int64_t const outputLanes = channelLanes(request.outputLayout, outputBytes);
    int64_t const filling = ceilDivide(channels, outputLanes) * outputLanes - channels;
    appendSpatialAxes(shape, request, pixelStride, phaseUnit);
    shape.append({channels, channelStride, 0, filling, 1, PadMode::kZero});
    return shape;
}

// The shape by pixels of a tensor with all its images, for two channels-last layouts.
constexpr MapShape makePixelShape(MapRequest const& request)
{
    MapShape shape{};
    shape.append(axisOf(request, 0, innerSize(request, 2), 0));
    appendSpatialAxes(shape, request, 1, 0);
    return shape;
}

// The same by runs of the channels of a phase, of which a pixel of X has one for each phase.
constexpr MapShape makeRunShape(MapRequest const& request)
{
    int64_t const runs = request.numPhases();
    MapShape shape{};
    shape.append(axisOf(request, 0, innerSize(request, 2) * runs, 0));
    appendSpatialAxes(shape, request, runs, 1);
    return withRank(shape, 3);
}

// The shape by pixels of one image, for a linear layout and a channels-last one.
constexpr MapShape makeImageShape(MapRequest const& request)
{
    MapShape shape{};
    appendSpatialAxes(shape, request, 1, 0);
    return withRank(shape, 2);
}

// The shape by elements of one image of a channels-last tensor of `storedChannels`, as a plane of a channel.
constexpr MapShape makePhasedImageShape(MapRequest const& request, int64_t storedChannels)
{
    MapShape shape{};
    appendSpatialAxes(shape, request, storedChannels, request.channels());
    return withRank(shape, 2);
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

template <typename Index>
void setAxis(MapAxis<Index>& target, MapAxisShape const& axis)
{
    target = {static_cast<Index>(axis.upsampledSize()), static_cast<Index>(axis.padBegin),
        static_cast<Index>(axis.inputStride), axis.mode, FastDivisor<Index>(static_cast<Index>(axis.upsample)),
        FastDivisor<Index>(static_cast<Index>(axis.outputSize()))};
}

template <typename Index>
void setAxis(PhasedAxis<Index>& target, MapAxisShape const& axis)
{
    setAxis(static_cast<MapAxis<Index>&>(target), axis);
    target.phases = FastDivisor<Index>(static_cast<Index>(axis.phases));
    target.phaseStride = static_cast<Index>(axis.phaseStride);
}

// Makes an OutputMap or a PhasedMap.
template <typename Map>
Map makeMap(MapShape const& shape)
{
    using Index = typename Map::Index;
    Map map{};
    map.anyRank = shape.rank;
    map.numOutputs = static_cast<Index>(shape.numOutputs());
    for (int32_t i = 0; i < shape.rank; ++i)
    {
        setAxis(map.axes[i], shape.axes[i]);
    }
    return map;
}

// An output whose first axis counts planes that are all mapped alike, or whose first two count images and their planes.
struct MapPlanes
{
    int64_t numPlanes; // of an image
    int64_t planeStride; // in the input
    MapShape plane;
    int64_t numImages = 1;
    int64_t imageStride = 0; // in the input
};

// Takes the planes off a shape; one that is mapped along its first axis is a single plane. The planes of all images
// follow each other unless a shape has phases.
constexpr MapPlanes makePlanes(MapShape const& shape)
{
    if (shape.rank < 2 || shape.axes[0].isMapped())
    {
        return {1, 0, withRank(shape, 2)};
    }
    bool const hasImages = shape.rank >= 3 && !shape.axes[1].isMapped();
    int32_t const numOuter = hasImages ? 2 : 1;
    MapAxisShape const& outermost = shape.axes[0];
    MapAxisShape const& planesOfImage = shape.axes[numOuter - 1];
    MapPlanes planes{planesOfImage.inputSize, planesOfImage.inputStride, {}};
    if (hasImages)
    {
        planes.numImages = outermost.inputSize;
        planes.imageStride = outermost.inputStride;
    }
    for (int32_t axis = numOuter; axis < shape.rank; ++axis)
    {
        planes.plane.axes[axis - numOuter] = shape.axes[axis];
    }
    planes.plane.rank = shape.rank - numOuter;
    planes.plane = withRank(planes.plane, 2);
    return planes;
}

} // namespace trtconv
