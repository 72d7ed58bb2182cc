#include "norm/place.h"

#include <algorithm>

namespace trtconv
{

namespace
{

int64_t productOf(std::vector<int64_t> const& values)
{
    int64_t product = 1;
    for (int64_t const value : values)
    {
        product *= value;
    }
    return product;
}

bool areAll(std::vector<int64_t> const& values, int64_t value)
{
    return std::all_of(values.begin(), values.end(), [&](int64_t each) { return each == value; });
}

// A map of X that changes nothing yet.
MapRequest requestOf(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request{};
    request.rank = static_cast<int32_t>(place.sizes.size()) + 2;
    request.sizes[0] = batch;
    request.sizes[1] = channels;
    std::copy(place.sizes.begin(), place.sizes.end(), request.sizes + 2);
    std::fill(request.upsample, request.upsample + request.rank, 1);
    request.inputLayout = layout;
    request.outputLayout = layout;
    return request;
}

} // namespace

bool NormPlace::isPlaced(ElementType typeOfX) const
{
    return !areAll(upsample, 1) || !areAll(pads, 0) || outputType != typeOfX;
}

bool NormPlace::isResidualPadded() const
{
    return !areAll(residualPads, 0);
}

bool NormPlace::isPhased() const
{
    return numPhases() != 1;
}

bool NormPlace::isCropped() const
{
    return !areAll(crop, 0);
}

int64_t NormPlace::numPhases() const
{
    return productOf(phases);
}

NormPlace NormPlace::interleaved() const
{
    NormPlace whole = *this;
    for (size_t axis = 0; axis < sizes.size(); ++axis)
    {
        whole.sizes[axis] = sizes[axis] * phases[axis] - crop[axis];
        whole.phases[axis] = 1;
        whole.crop[axis] = 0;
    }
    return whole;
}

NormShape normalisedShape(NormPlace const& place, int64_t batch, int64_t channels)
{
    return {batch, channels / place.numPhases(), productOf(place.interleaved().sizes)};
}

MapRequest phasesRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request = requestOf(place, batch, channels, layout);
    std::copy(place.phases.begin(), place.phases.end(), request.phases + 2);
    std::copy(place.crop.begin(), place.crop.end(), request.crop + 2);
    return request;
}

MapRequest outputRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request = requestOf(place, batch, channels, layout);
    size_t const count = place.sizes.size();
    for (size_t axis = 0; axis < count; ++axis)
    {
        request.upsample[2 + axis] = place.upsample[axis];
        request.pads[2 + axis] = place.pads[axis];
        request.pads[request.rank + 2 + axis] = place.pads[count + axis];
    }
    request.mode = place.mode;
    return request;
}

MapRequest residualRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request = requestOf(place, batch, channels, layout);
    size_t const count = place.sizes.size();
    for (size_t axis = 0; axis < count; ++axis)
    {
        int64_t const begin = place.residualPads[axis];
        int64_t const end = place.residualPads[count + axis];
        request.sizes[2 + axis] += begin + end;
        request.pads[2 + axis] = -begin;
        request.pads[request.rank + 2 + axis] = -end;
    }
    request.mode = PadMode::kZero;
    return request;
}

} // namespace trtconv
