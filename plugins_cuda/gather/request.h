// What an output map is asked to do, and whether that is possible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "common/integer_maths.h"
#include "common/layout.h"
#include "result/output_map.h"

namespace trtconv
{

// What is asked for: Y of a tensor X [N, C, D1..Dk], of any rank where both are linear.
struct MapRequest
{
    int32_t rank = 0;
    int64_t sizes[kMaxRank]{}; // of X
    int64_t pads[2 * kMaxRank]{}; // of Y, in ONNX order: all begins, then all ends
    int64_t upsample[kMaxRank]{}; // the factor of each axis, at least 1
    PadMode mode = PadMode::kReflect;
    Layout inputLayout = Layout::kLinear;
    Layout outputLayout = Layout::kLinear;

    constexpr bool isMapped(int32_t axis) const
    {
        return upsample[axis] != 1 || pads[axis] != 0 || pads[rank + axis] != 0;
    }
    constexpr int64_t outputSize(int32_t axis) const
    {
        return pads[axis] + sizes[axis] * upsample[axis] + pads[rank + axis];
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

// Whether X and Y have sizes that launch choices can count with; pads below zero take from X. A factor is bounded by
// itself: that of an empty axis makes nothing larger.
constexpr bool isCountable(MapRequest const& request)
{
    int64_t outputs[kMaxRank]{};
    for (int32_t axis = 0; axis < request.rank; ++axis)
    {
        if (request.upsample[axis] > std::numeric_limits<int32_t>::max())
        {
            return false;
        }
        int64_t const begin = request.pads[axis];
        int64_t const end = request.pads[request.rank + axis];
        int64_t const around = checkedSum(std::max<int64_t>(begin, 0), std::max<int64_t>(end, 0));
        outputs[axis] = checkedSum(checkedProduct(request.sizes[axis], request.upsample[axis]), around);
    }
    return isCountable(request.sizes, request.rank) && isCountable(outputs, request.rank);
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

// Returns the first axis of a countable request that cannot be mapped so, -1 if there is none.
constexpr int32_t findBadAxis(MapRequest const& request)
{
    for (int32_t axis = 0; axis < request.rank; ++axis)
    {
        int64_t const begin = request.pads[axis];
        int64_t const end = request.pads[request.rank + axis];
        bool const isKnown = request.upsample[axis] >= 1 && begin >= 0 && end >= 0;
        if (!isKnown || !padsFit(request.mode, request.sizes[axis] * request.upsample[axis], std::max(begin, end)))
        {
            return axis;
        }
    }
    return -1;
}

// Whether the kernels map between these layouts: channels that lie together stay together, so they are not mapped.
constexpr bool canMapBetween(MapRequest const& request)
{
    bool const isLinear = request.inputLayout == Layout::kLinear && request.outputLayout == Layout::kLinear;
    auto const isBlocked = [](Layout layout) { return layout != Layout::kLinear && layout != Layout::kChannelsLast; };
    bool const isSame = request.inputLayout == request.outputLayout;
    bool const isKnownPair = isSame || !(isBlocked(request.inputLayout) || isBlocked(request.outputLayout));
    return isLinear || (isKnownPair && request.rank >= 3 && request.rank < kMaxRank && !request.isMapped(1));
}

} // namespace trtconv
