// What an output map is asked to do, and whether that is possible.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/layout.h"
#include "result/output_map.h"

namespace trtconv
{

// What is asked for: Y of a tensor X [N, C, D1..Dk], of any rank where both are linear.
//
// With phases X is [N, B * C, ...], B being the product of them all, and its channels are [p1, ..., pk, C], as ONNX's
// DepthToSpace of mode DCR has them: element i of an axis is element i / b of phase i % b. They are interleaved, then
// the end of each axis is cropped; all else is said of the result.
struct MapRequest
{
    int32_t rank = 0;
    int64_t sizes[kMaxRank]{}; // of X
    int64_t phases[kMaxRank]{1, 1, 1, 1, 1, 1, 1, 1}; // of each axis
    int64_t crop[kMaxRank]{}; // elements of each axis, fewer than its phases
    int64_t pads[2 * kMaxRank]{}; // of Y, in ONNX order: all begins, then all ends
    int64_t upsample[kMaxRank]{}; // the factor of each axis, at least 1
    PadMode mode = PadMode::kReflect;
    Layout inputLayout = Layout::kLinear;
    Layout outputLayout = Layout::kLinear;

    constexpr bool isMapped(int32_t axis) const
    {
        return phases[axis] != 1 || upsample[axis] != 1 || pads[axis] != 0 || pads[rank + axis] != 0;
    }

    // Returns the product of the phases of the axes from `begin` on.
    constexpr int64_t numPhases(int32_t begin = 0) const
    {
        int64_t product = 1;
        for (int32_t axis = begin; axis < rank; ++axis)
        {
            product *= phases[axis];
        }
        return product;
    }
    constexpr bool isPhased() const { return numPhases() != 1; }
    constexpr int64_t channels() const { return sizes[1] / numPhases(); }

    // Returns the size of an axis with its phases interleaved.
    constexpr int64_t phasedSize(int32_t axis) const
    {
        return axis == 1 ? channels() : sizes[axis] * phases[axis] - crop[axis];
    }
    constexpr int64_t outputSize(int32_t axis) const
    {
        return pads[axis] + phasedSize(axis) * upsample[axis] + pads[rank + axis];
    }

    // Without what fills vectors up.
    constexpr int64_t numInputs() const
    {
        int64_t product = 1;
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            product *= sizes[axis];
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

    bool isUpsampled() const
    {
        return std::any_of(upsample, upsample + rank, [](int64_t factor) { return factor != 1; });
    }
    bool isPadded() const
    {
        return std::any_of(pads, pads + 2 * rank, [](int64_t pad) { return pad != 0; });
    }
};

// Whether an axis of this size can be read by phases, and then cropped.
constexpr bool arePhases(int64_t size, int64_t phases, int64_t crop)
{
    return phases >= 1 && crop >= 0 && crop < phases && size * phases >= crop;
}

// Whether a request has phases that can be: of spatial axes, and dividing the channels.
constexpr bool hasGoodPhases(MapRequest const& request)
{
    int64_t channels = request.rank >= 3 ? request.sizes[1] : 1; // of the axes that are looked at
    for (int32_t axis = 0; axis < request.rank; ++axis)
    {
        int64_t const phases = request.phases[axis];
        bool const isSpatial = request.rank >= 3 && axis >= 2;
        if (!arePhases(request.sizes[axis], phases, request.crop[axis]) || (phases != 1 && !isSpatial)
            || channels % phases != 0)
        {
            return false;
        }
        channels /= phases;
    }
    return true;
}

// Whether an axis, upsampled to `size`, takes pads of which `largest` is the longer one: a reflection does not reach
// beyond the other end, and an empty axis has no edge.
constexpr bool padsFit(PadMode mode, int64_t size, int64_t largest)
{
    int64_t const shortest = mode == PadMode::kReflect ? largest + 1 : mode == PadMode::kEdge ? 1 : 0;
    return largest == 0 || size >= shortest;
}

// Returns what pads of that mode have to be.
constexpr char const* padRule(PadMode mode)
{
    return mode == PadMode::kReflect ? "must be smaller than the axis they reflect" : "need an axis that is not empty";
}

// Returns the first axis that cannot be mapped so, -1 if there is none.
constexpr int32_t findBadAxis(MapRequest const& request)
{
    for (int32_t axis = 0; axis < request.rank; ++axis)
    {
        int64_t const begin = request.pads[axis];
        int64_t const end = request.pads[request.rank + axis];
        bool const isKnown = request.upsample[axis] >= 1 && begin >= 0 && end >= 0;
        if (!isKnown || !padsFit(request.mode, request.phasedSize(axis) * request.upsample[axis], std::max(begin, end)))
        {
            return axis;
        }
    }
    return -1;
}

// Whether the kernels map between these layouts: channels that lie together stay together, so they are not mapped.
// Blocks of channels are not read by phases.
constexpr bool canMapBetween(MapRequest const& request)
{
    bool const isLinear = request.inputLayout == Layout::kLinear && request.outputLayout == Layout::kLinear;
    auto const isBlocked = [](Layout layout) { return layout != Layout::kLinear && layout != Layout::kChannelsLast; };
    bool const isSame = request.inputLayout == request.outputLayout;
    bool const isKnownPair = isSame || !(isBlocked(request.inputLayout) || isBlocked(request.outputLayout));
    bool const isPhasedBlock = request.isPhased() && isBlocked(request.inputLayout);
    return isLinear
        || (isKnownPair && !isPhasedBlock && request.rank >= 3 && request.rank < kMaxRank && !request.isMapped(1));
}

} // namespace trtconv
