#include "norm/placed.h"

#include <algorithm>
#include <limits>

#include "common/integer_maths.h"
#include "common/plugin_error.h"
#include "gather/fill_pads.h"
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

// Rows or columns of X, inside Y or inside the residual; a line is an image of one row.
struct ImageAxes
{
    PlaceAxis rows;
    PlaceAxis columns;
};

ImageAxes imageAxes(NormPlace const& place, std::vector<int64_t> const& upsample, std::vector<int64_t> const& pads)
{
    size_t const count = place.sizes.size();
    auto const axisAt = [&](size_t axis)
    {
        return PlaceAxis{static_cast<int32_t>(place.sizes[axis]), static_cast<int32_t>(upsample[axis]),
            static_cast<int32_t>(pads[axis]), static_cast<int32_t>(pads[count + axis])};
    };
    return {count == 1 ? PlaceAxis{1, 1, 0, 0} : axisAt(0), axisAt(count - 1)};
}

ImageAxes outputAxes(NormPlace const& place)
{
    return imageAxes(place, place.upsample, place.pads);
}

ImageAxes residualAxes(NormPlace const& place)
{
    return imageAxes(place, std::vector<int64_t>(place.sizes.size(), 1), place.residualPads);
}

int64_t vectorsPerPixel(NormShape const& shape)
{
    return ceilDivide(shape.channels, channelLanes(Layout::kChannelsLast, 2));
}

// Whether the norm's own kernels take places: they hold images of vectors of channels. If they do so for a shape, then
// for all smaller ones that are not empty.
bool takesPlaces(NormArguments const& arguments, NormPlace const& place)
{
    NormShape const& shape = arguments.shape;
    int64_t const outputs = outputRequest(place, shape.batch, 1, arguments.layout).numOutputs();
    int64_t const residuals = residualRequest(place, shape.batch, 1, arguments.layout).numInputs();
    return arguments.layout == Layout::kChannelsLast && elementBytes(arguments.type) == 2
        && place.outputType == arguments.type && place.sizes.size() <= 2 && arguments.groups == 0 && !shape.isEmpty()
        && std::max(outputs, residuals) * vectorsPerPixel(shape) <= std::numeric_limits<int32_t>::max();
}

// Normalises into the inside of Y, and fills the pads from there. Where the norm's kernels wrote pads too, the few
// threads that did so kept the others waiting: H100, [1,32,1080,1920] fp16 with pads of 4: 241 us. In a later run 229
// through the workspace, 146 like this, the norm alone 140; [1,64,540,960] with a residual out of pads of 1, copied to
// the workspace first 137, like this 96, the norm alone 92.
void launchScattered(
    NormArguments const& arguments, NormPlace const& place, DeviceLimits const& device, cudaStream_t stream)
{
    int64_t const vectors = vectorsPerPixel(arguments.shape);
    auto const [rows, columns] = outputAxes(place);
    auto const [residualRows, residualColumns] = residualAxes(place);
    ImagePlaces const places{
        makeImagePlace(rows, columns, vectors), makeImagePlace(residualRows, residualColumns, vectors)};
    NormArguments norm = arguments;
    norm.places = &places;
    launchNorm(norm, device, stream);
    launchFillPads({arguments.output, arguments.shape.batch, rows, columns, vectors, place.mode}, device, stream);
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

MapRequest residualRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout)
{
    MapRequest request = requestOf(place, batch, channels, layout);
    size_t const count = place.sizes.size();
    for (size_t axis = 0; axis < count; ++axis)
    {
        int64_t const begin = place.residualPads[axis];
        int64_t const end = place.residualPads[count + axis];
        request.sizes[2 + axis] = checkedSum(checkedSum(begin, place.sizes[axis]), end);
        request.pads[2 + axis] = -begin;
        request.pads[request.rank + 2 + axis] = -end;
    }
    request.mode = PadMode::kZero;
    return request;
}

int64_t placedWorkspaceBytes(NormArguments const& largest, NormPlace const& place)
{
    bool const isInParts = !takesPlaces(largest, place);
    int64_t const forResult = isInParts && place.isPlaced(largest.type) ? tensorBytes(largest) : 0;
    int64_t const forResidual = isInParts && place.isResidualPadded() ? tensorBytes(largest) : 0;
    return alignedBytes(normWorkspaceBytes(largest.layout, largest.shape, largest.groups)) + forResult + forResidual;
}

void launchPlacedNorm(
    NormArguments const& arguments, NormPlace const& place, DeviceLimits const& device, cudaStream_t stream)
{
    auto const [batch, channels, sliceSize] = arguments.shape;
    bool const isPlaced = place.isPlaced(arguments.type);
    bool const isResidualPadded = arguments.epilogue.residual != nullptr && place.isResidualPadded();
    if ((isPlaced || isResidualPadded) && takesPlaces(arguments, place))
    {
        return launchScattered(arguments, place, device, stream);
    }
    auto* memory = static_cast<char*>(arguments.workspace);
    memory += alignedBytes(normWorkspaceBytes(arguments.layout, arguments.shape, arguments.groups));
    NormArguments norm = arguments;
    if (isResidualPadded)
    {
        MapRequest const inside = residualRequest(place, batch, channels, arguments.layout);
        launchGather(gatherOf(norm.epilogue.residual, memory, inside, norm.type, norm.type), device, stream);
        norm.epilogue.residual = memory;
        memory += tensorBytes(arguments);
    }
    if (!isPlaced)
    {
        return launchNorm(norm, device, stream);
    }
    norm.output = memory;
    launchNorm(norm, device, stream);
    MapRequest const request = outputRequest(place, batch, channels, arguments.layout);
    launchPad(gatherOf(memory, arguments.output, request, arguments.type, place.outputType), device, stream);
}

} // namespace trtconv
