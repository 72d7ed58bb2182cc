// Random norms with what surrounds them, from small ones to those that no block or cluster of a GPU holds.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "norm/norm.h"
#include "norm/place.h"
#include "sanitized/random_values.h"

namespace trtconv
{

// A norm of X [batch, channels * B, sizes] with what surrounds it.
struct PlacedNorm
{
    NormPlace place;
    int64_t batch;
    int64_t channels; // of each phase
    ElementType type;
    Layout layout;
    int64_t groups;

    MapRequest input() const { return phasesRequest(place, batch, channels * place.numPhases(), layout); }
    MapRequest output() const { return outputRequest(place.interleaved(), batch, channels, layout); }
    MapRequest residual() const { return residualRequest(place.interleaved(), batch, channels, layout); }

    NormArguments arguments() const
    {
        NormArguments arguments{};
        arguments.shape = normalisedShape(place, batch, channels * place.numPhases());
        arguments.type = type;
        arguments.layout = layout;
        arguments.groups = groups;
        return arguments;
    }

    bool isPossible() const
    {
        constexpr int64_t kMostOutputs = int64_t{1} << 36;
        return isCountable(input()) && hasGoodPhases(input()) && isCountable(output()) && findBadAxis(output()) < 0
            && output().numOutputs() < kMostOutputs;
    }
};

inline std::vector<int64_t> manyBelow(Random& random, size_t count, int64_t end)
{
    std::vector<int64_t> values(count);
    std::generate(values.begin(), values.end(), [&] { return random.below(end); });
    return values;
}

inline int64_t anySize(Random& random, size_t numAxes)
{
    constexpr int64_t kLargest[]{3000000, 4200, 300}; // of one to three axes: some are held by no block or cluster
    constexpr int64_t kLimits[]{9, 64, 700};
    int64_t const kind = random.below(5);
    return 1 + random.below(kind < 3 ? kLimits[kind] : kLargest[numAxes - 1]);
}

inline NormPlace anyPlace(Random& random, ElementType type)
{
    auto const count = static_cast<size_t>(1 + random.below(3));
    bool const isPhased = random.isOneIn(3);
    bool const isCropped = isPhased && random.isOneIn(5);
    bool const isUpsampled = random.isOneIn(4);
    NormPlace place{};
    place.mode = static_cast<PadMode>(random.below(3));
    place.pads = manyBelow(random, 2 * count, random.isOneIn(2) ? 5 : 1);
    place.residualPads = manyBelow(random, 2 * count, random.isOneIn(3) ? 5 : 1);
    place.outputType = type == ElementType::kFloat32 && random.isOneIn(5) ? ElementType::kFloat16 : type;
    for (size_t axis = 0; axis < count; ++axis)
    {
        constexpr int64_t kPhases[]{1, 1, 2, 2, 3, 4, 5, 8};
        int64_t const phases = isPhased ? kPhases[random.below(8)] : 1;
        place.sizes.push_back(anySize(random, count));
        place.upsample.push_back(isUpsampled ? 1 + random.below(3) : 1);
        place.phases.push_back(phases);
        place.crop.push_back(isCropped ? random.below(phases) : 0);
    }
    if (count == 3 && random.isOneIn(2)) // only rows and columns change
    {
        place.pads[0] = place.pads[count] = place.residualPads[0] = place.residualPads[count] = 0;
        place.upsample[0] = 1;
    }
    return place;
}

inline PlacedNorm anyNorm(Random& random)
{
    auto const type = static_cast<ElementType>(random.below(3));
    int64_t const channels = random.isOneIn(4) ? 8 * (1 + random.below(8)) : 1 + random.below(80);
    int64_t const batch = random.isOneIn(4) ? 1 + random.below(5) : 1;
    Layout const layout = random.isOneIn(2) ? Layout::kLinear : Layout::kChannelsLast;
    int64_t const groups = !random.isOneIn(6) ? 0 : random.isOneIn(2) ? 1 : channels;
    return {anyPlace(random, type), batch, channels, type, layout, groups};
}

// Returns a norm that the same build of the plugin may get: none of its sizes is larger.
inline PlacedNorm anySmaller(Random& random, PlacedNorm norm)
{
    auto const shrink = [&](int64_t& size, int64_t least)
    {
        int64_t const kind = random.below(3);
        size = kind == 0 ? size : std::max(least, kind == 1 ? size - random.below(4) : 1 + random.below(size));
    };
    shrink(norm.batch, 1);
    for (int64_t& size : norm.place.sizes)
    {
        shrink(size, 0);
    }
    bool const areChannelsFixed = norm.groups != 0 || (norm.layout != Layout::kLinear && norm.place.isPhased());
    if (!areChannelsFixed)
    {
        shrink(norm.channels, 1);
    }
    return norm;
}

inline char const* nameOf(Layout layout)
{
    return layout == Layout::kLinear ? "linear" : "channels-last";
}

inline char const* nameOf(ElementType type)
{
    return type == ElementType::kFloat32 ? "fp32" : type == ElementType::kFloat16 ? "fp16" : "bf16";
}

inline std::string described(PlacedNorm const& norm)
{
    NormPlace const& place = norm.place;
    std::string result = text("[", norm.batch, ",", norm.channels * place.numPhases());
    for (int64_t const size : place.sizes)
    {
        result += text(",", size);
    }
    result += text(
        "] ", nameOf(norm.layout), " ", nameOf(norm.type), " to ", nameOf(place.outputType), ", groups ", norm.groups);
    auto const add = [&](char const* name, std::vector<int64_t> const& values)
    {
        result += text(", ", name);
        for (int64_t const value : values)
        {
            result += text(" ", value);
        }
    };
    add("phases", place.phases);
    add("crop", place.crop);
    add("upsample", place.upsample);
    add("pads", place.pads);
    add("residual pads", place.residualPads);
    return result;
}

} // namespace trtconv
