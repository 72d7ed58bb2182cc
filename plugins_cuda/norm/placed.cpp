#include "norm/placed.h"

#include <algorithm>
#include <limits>

#include "common/integer_maths.h"
#include "common/plugin_error.h"
#include "reflect_pad/reflect_pad.h"

namespace trtconv
{

namespace
{

constexpr int64_t kWorkspaceAlignment = 256;

int64_t alignedBytes(int64_t numBytes)
{
    return ceilDivide(numBytes, kWorkspaceAlignment) * kWorkspaceAlignment;
}

// Returns the bytes of a tensor like X, as it lies in memory.
int64_t tensorBytes(NormArguments const& arguments)
{
    int32_t const bytes = elementBytes(arguments.type);
    int64_t const lanes = channelLanes(arguments.layout, bytes);
    NormShape const& shape = arguments.shape;
    return alignedBytes(shape.batch * ceilDivide(shape.channels, lanes) * lanes * shape.sliceSize * bytes);
}

MapRequest requestOf(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request{};
    request.rank = static_cast<int32_t>(place.sizes.size()) + 2;
    request.sizes[0] = batch;
    request.sizes[1] = channels;
    std::fill(request.upsample, request.upsample + request.rank, 1);
    request.inputLayout = layout;
    request.outputLayout = layout;
    return request;
}

// The map from the residual as it is given to its inside, which has the shape of X.
MapRequest residualRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request = requestOf(place, batch, channels, layout);
    size_t const count = place.sizes.size();
    for (size_t axis = 0; axis < count; ++axis)
    {
        int64_t const begin = place.residualPads[axis];
        int64_t const end = place.residualPads[count + axis];
        request.sizes[2 + axis] = begin + place.sizes[axis] + end;
        request.pads[2 + axis] = -begin;
        request.pads[request.rank + 2 + axis] = -end;
    }
    request.mode = PadMode::kZero;
    return request;
}

bool areAll(std::vector<int64_t> const& values, int64_t value)
{
    return std::all_of(values.begin(), values.end(), [&](int64_t each) { return each == value; });
}

GatherArguments gatherOf(void const* input, void* output, MapRequest const& request, ElementType from, ElementType to)
{
    GatherArguments arguments{input, output, request, elementBytes(from)};
    arguments.isComputed = from != to;
    arguments.inputType = from;
    arguments.outputType = to;
    return arguments;
}

// Whether the norm's own kernels write through the map: they hold images of vectors of channels. If they do so for a
// shape, then for all smaller ones. Without upsampling the few threads that write pads keep all others waiting. H100,
// fp16: [1,128,270,480] by 2 took 78 us scattered, 96 in two steps; [1,64,540,960] by 2 with pads of 1 164 and 189;
// [1,32,1080,1920] with pads of 4 241 and 229; [1,256,128,128] with pads of 1 29 and 20.
bool scatters(NormArguments const& arguments, NormPlace const& place)
{
    MapRequest const request = outputRequest(place, arguments.shape.batch, 1, arguments.layout);
    int64_t const vectorsPerPixel = ceilDivide(arguments.shape.channels, channelLanes(Layout::kChannelsLast, 2));
    bool const isUpsampled =
        std::all_of(place.upsample.begin(), place.upsample.end(), [](int64_t factor) { return factor >= 2; });
    return arguments.layout == Layout::kChannelsLast && elementBytes(arguments.type) == 2 && isUpsampled
        && place.outputType == arguments.type && place.sizes.size() == 2 && arguments.groups == 0
        && request.numOutputs() * vectorsPerPixel <= std::numeric_limits<int32_t>::max();
}

PlaceAxis placeAxis(NormPlace const& place, size_t axis)
{
    return {FastDivisor<uint32_t>(static_cast<uint32_t>(place.sizes[axis])), static_cast<int32_t>(place.upsample[axis]),
        static_cast<int32_t>(place.pads[axis]), static_cast<int32_t>(place.pads[2 + axis])};
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

MapRequest outputRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request = requestOf(place, batch, channels, layout);
    size_t const count = place.sizes.size();
    for (size_t axis = 0; axis < count; ++axis)
    {
        request.sizes[2 + axis] = place.sizes[axis];
        request.upsample[2 + axis] = place.upsample[axis];
        request.pads[2 + axis] = place.pads[axis];
        request.pads[request.rank + 2 + axis] = place.pads[count + axis];
    }
    request.mode = place.mode;
    return request;
}

int64_t placedWorkspaceBytes(NormArguments const& largest, NormPlace const& place)
{
    bool const isInParts = place.isPlaced(largest.type) && !scatters(largest, place);
    int64_t const forResult = isInParts ? tensorBytes(largest) : 0;
    int64_t const forResidual = place.isResidualPadded() ? tensorBytes(largest) : 0;
    return alignedBytes(normWorkspaceBytes(largest.layout, largest.shape, largest.groups)) + forResult + forResidual;
}

void launchPlacedNorm(
    NormArguments const& arguments, NormPlace const& place, DeviceLimits const& device, cudaStream_t stream)
{
    auto const [batch, channels, sliceSize] = arguments.shape;
    auto* memory = static_cast<char*>(arguments.workspace);
    memory += alignedBytes(normWorkspaceBytes(arguments.layout, arguments.shape, arguments.groups));
    NormArguments norm = arguments;
    if (norm.epilogue.residual != nullptr && place.isResidualPadded())
    {
        MapRequest const inside = residualRequest(place, batch, channels, arguments.layout);
        launchGather(gatherOf(norm.epilogue.residual, memory, inside, norm.type, norm.type), device, stream);
        norm.epilogue.residual = memory;
        memory += tensorBytes(arguments);
    }
    if (!place.isPlaced(arguments.type))
    {
        return launchNorm(norm, device, stream);
    }
    if (scatters(arguments, place))
    {
        int64_t const vectorsPerPixel = ceilDivide(channels, channelLanes(Layout::kChannelsLast, 2));
        ImagePlace const images{placeAxis(place, 0), placeAxis(place, 1),
            FastDivisor<uint32_t>(static_cast<uint32_t>(vectorsPerPixel)), place.mode};
        norm.place = &images;
        return launchNorm(norm, device, stream);
    }
    norm.output = memory;
    launchNorm(norm, device, stream);
    MapRequest const request = outputRequest(place, batch, channels, arguments.layout);
    launchPad(gatherOf(memory, arguments.output, request, arguments.type, place.outputType), device, stream);
}

} // namespace trtconv
