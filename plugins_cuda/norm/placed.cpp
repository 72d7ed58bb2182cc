#include "norm/placed.h"

#include <algorithm>
#include <limits>
#include <optional>

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

GatherArguments gatherOf(void const* input, void* output, MapRequest const& request, ElementType from, ElementType to)
{
    GatherArguments arguments{input, output, request, elementBytes(from)};
    arguments.isComputed = from != to;
    arguments.inputType = from;
    arguments.outputType = to;
    return arguments;
}

// Rows or columns of X, inside Y or inside the residual; a line is an image of one row, a volume has several images.
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
    return {count == 1 ? PlaceAxis{1, 1, 0, 0} : axisAt(count - 2), axisAt(count - 1)};
}

ImageAxes outputAxes(NormPlace const& place)
{
    return imageAxes(place, place.upsample, place.pads);
}

ImageAxes residualAxes(NormPlace const& place)
{
    return imageAxes(place, std::vector<int64_t>(place.sizes.size(), 1), place.residualPads);
}

int64_t vectorsPerPixel(NormArguments const& arguments)
{
    return ceilDivide(arguments.shape.channels, channelLanes(Layout::kChannelsLast, elementBytes(arguments.type)));
}

// Whether a place changes nothing of the axes before rows and columns.
bool isOfImages(NormPlace const& place)
{
    size_t const count = place.sizes.size();
    for (size_t axis = 0; axis + 2 < count; ++axis)
    {
        if (place.upsample[axis] != 1 || place.pads[axis] != 0 || place.pads[count + axis] != 0
            || place.residualPads[axis] != 0 || place.residualPads[count + axis] != 0)
        {
            return false;
        }
    }
    return true;
}

// Whether the norm's own kernels take channels-last places: they hold images of vectors of channels. If they do so for
// a shape, then for all smaller ones that are not empty.
bool takesPlaces(NormArguments const& arguments, NormPlace const& place)
{
    NormShape const& shape = arguments.shape;
    int64_t const outputs = outputRequest(place, shape.batch, 1, arguments.layout).numOutputs();
    int64_t const residuals = residualRequest(place, shape.batch, 1, arguments.layout).numInputs();
    return arguments.layout == Layout::kChannelsLast && place.outputType == arguments.type && isOfImages(place)
        && arguments.groups == 0 && !shape.isEmpty()
        && std::max(outputs, residuals) * vectorsPerPixel(arguments) <= std::numeric_limits<int32_t>::max();
}

// Whether phases are runs of channels that can be taken for pixels.
bool areRuns(NormArguments const& arguments, NormPlace const& place)
{
    int64_t const lanes = channelLanes(Layout::kChannelsLast, elementBytes(arguments.type));
    return arguments.layout == Layout::kChannelsLast && arguments.shape.channels % lanes == 0 && !place.isCropped();
}

// Whether the phases of X are interleaved as it lies: runs are, where the last axis alone has phases.
bool isInterleaved(NormArguments const& arguments, NormPlace const& place)
{
    return !place.isPhased() || (areRuns(arguments, place) && place.numPhases() == place.phases.back());
}

// Returns the order of phases that the norm's kernels read; none where they do not.
std::optional<PhaseOrder> readableOrder(NormArguments const& arguments, NormPlace const& place)
{
    if (!takesPlaces(arguments, place.interleaved()) || !areRuns(arguments, place))
    {
        return std::nullopt;
    }
    return makePhaseOrder(
        static_cast<int32_t>(place.sizes.size()), place.sizes.data(), place.phases.data(), vectorsPerPixel(arguments));
}

// Normalises into the inside of Y, and fills the pads from there. Where the norm's kernels wrote pads too, the few
// threads that did so kept the others waiting: H100, [1,32,1080,1920] fp16 with pads of 4: 241 us. In a later run 229
// through the workspace, 146 like this, the norm alone 140; [1,64,540,960] with a residual out of pads of 1, copied to
// the workspace first 137, like this 96, the norm alone 92.
void launchScattered(NormArguments const& arguments, NormPlace const& place, PhaseOrder const* order,
    DeviceLimits const& device, cudaStream_t stream)
{
    int64_t const vectors = vectorsPerPixel(arguments);
    auto const [rows, columns] = outputAxes(place);
    auto const [residualRows, residualColumns] = residualAxes(place);
    ImagePlaces const places{
        makeImagePlace(rows, columns, vectors), makeImagePlace(residualRows, residualColumns, vectors)};
    NormArguments norm = arguments;
    norm.places = &places;
    norm.phaseOrder = order;
    launchNorm(norm, device, stream);
    int64_t const pixels = int64_t{rows.size} * columns.size;
    int64_t const numImages = arguments.shape.batch * (arguments.shape.sliceSize / pixels);
    launchFillPads({arguments.output, numImages, rows, columns, vectors, place.mode, kVectorBytes}, device, stream);
}

// Returns where the elements of a linear tensor go, unless a place changes more than rows and columns.
std::optional<PlanePlaces> planePlaces(NormArguments const& arguments, NormPlace const& place)
{
    NormShape const& shape = arguments.shape;
    NormPlace const whole = place.interleaved();
    size_t const count = place.sizes.size();
    int64_t const rowPhases = count == 1 ? 1 : place.phases[count - 2];
    int64_t const phases = rowPhases * place.phases.back();
    if (arguments.layout != Layout::kLinear || shape.isEmpty() || place.outputType != arguments.type
        || place.isCropped() || place.numPhases() != phases || !isOfImages(whole)
        || std::max(outputRequest(whole, shape.batch, shape.channels, arguments.layout).numOutputs(),
               residualRequest(whole, shape.batch, shape.channels, arguments.layout).numInputs())
            > std::numeric_limits<int32_t>::max())
    {
        return std::nullopt;
    }
    auto const [rows, columns] = outputAxes(whole);
    auto const [residualRows, residualColumns] = residualAxes(whole);
    int64_t const numImages = shape.sliceSize / (int64_t{rows.size} * columns.size);
    auto const ofRows = static_cast<uint32_t>(rowPhases);
    return PlanePlaces{makePlanePlace(rows, columns, numImages, ofRows),
        makePlanePlace(residualRows, residualColumns, numImages, ofRows), ofRows,
        FastDivisor<uint32_t>(static_cast<uint32_t>(place.phases.back())),
        FastDivisor<uint32_t>(static_cast<uint32_t>(phases)), shape.sliceSize / phases};
}

// `planes` has to live as long as what is returned.
NormArguments withPlanes(NormArguments const& arguments, PlanePlaces const& planes)
{
    NormArguments norm = arguments;
    norm.planes = &planes;
    return norm;
}

// Returns where the elements of a linear tensor go if the norm's kernels scatter them there.
std::optional<PlanePlaces> scatteredPlaces(NormArguments const& arguments, NormPlace const& place)
{
    std::optional<PlanePlaces> const planes = planePlaces(arguments, place);
    return planes && isScattered(withPlanes(arguments, *planes)) ? planes : std::nullopt;
}

// Returns the bytes to set aside for one tensor that may go through the workspace: of a fixed shape what it needs, else
// enough for every smaller shape too.
int64_t heldBytes(NormArguments const& largest, NormPlace const& place, bool isFixed)
{
    std::optional<PlanePlaces> const planes = scatteredPlaces(largest, place);
    if (!planes)
    {
        return tensorBytes(largest);
    }
    return isFixed ? 0 : alignedBytes(maxHeldBytes(withPlanes(largest, *planes)));
}

// Normalises a linear tensor into the inside of Y, and fills the pads from there.
void launchPlanes(NormArguments const& norm, NormPlace const& whole, DeviceLimits const& device, cudaStream_t stream)
{
    launchNorm(norm, device, stream);
    auto const [rows, columns] = outputAxes(whole);
    int64_t const pixels = int64_t{rows.size} * columns.size;
    int64_t const numImages = norm.shape.numSlices() * (norm.shape.sliceSize / pixels);
    launchFillPads({norm.output, numImages, rows, columns, 1, whole.mode, elementBytes(norm.type)}, device, stream);
}

// Whether the result of a norm of a tensor without phases goes through the workspace, unless it is scattered.
bool isResultHeld(NormArguments const& arguments, NormPlace const& whole)
{
    return whole.isPlaced(arguments.type) && !takesPlaces(arguments, whole);
}

// Whether phases are interleaved in Y first: it is written anew when the result has been held.
bool isInterleavedInOutput(NormArguments const& arguments, NormPlace const& whole)
{
    return isResultHeld(arguments, whole) && elementBytes(whole.outputType) >= elementBytes(arguments.type);
}

// The same as launchPlacedNorm of a tensor without phases.
void launchWhole(
    NormArguments const& arguments, NormPlace const& place, DeviceLimits const& device, cudaStream_t stream)
{
    auto const [batch, channels, sliceSize] = arguments.shape;
    bool const isPlaced = place.isPlaced(arguments.type);
    bool const isResidualPadded = arguments.epilogue.residual != nullptr && place.isResidualPadded();
    if ((isPlaced || isResidualPadded) && takesPlaces(arguments, place))
    {
        return launchScattered(arguments, place, nullptr, device, stream);
    }
    auto* memory = static_cast<char*>(arguments.workspace);
    memory += alignedBytes(normWorkspaceBytes(arguments));
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

} // namespace

int64_t placedWorkspaceBytes(NormArguments const& largest, NormPlace const& place, bool isFixed)
{
    NormPlace const whole = place.interleaved();
    bool const isRead = isInterleaved(largest, place) || readableOrder(largest, place);
    bool const isResidualHeld = whole.isResidualPadded() && !takesPlaces(largest, whole);
    int64_t const numHeld = int64_t{!isRead && !isInterleavedInOutput(largest, whole)} + int64_t{isResidualHeld}
        + int64_t{isResultHeld(largest, whole)};
    return alignedBytes(normWorkspaceBytes(largest))
        + (numHeld == 0 ? 0 : numHeld * heldBytes(largest, place, isFixed));
}

void launchPlacedNorm(
    NormArguments const& arguments, NormPlace const& place, DeviceLimits const& device, cudaStream_t stream)
{
    NormPlace const whole = place.interleaved();
    bool const isResidualPadded = arguments.epilogue.residual != nullptr && place.isResidualPadded();
    if (place.isPhased() || place.isPlaced(arguments.type) || isResidualPadded)
    {
        if (std::optional<PlanePlaces> const planes = scatteredPlaces(arguments, place))
        {
            return launchPlanes(withPlanes(arguments, *planes), whole, device, stream);
        }
    }
    if (isInterleaved(arguments, place))
    {
        return launchWhole(arguments, whole, device, stream);
    }
    if (std::optional<PhaseOrder> const order = readableOrder(arguments, place))
    {
        return launchScattered(arguments, whole, &*order, device, stream);
    }
    auto const [batch, channels, sliceSize] = arguments.shape;
    NormArguments norm = arguments;
    void* interleaved = arguments.output;
    if (!isInterleavedInOutput(arguments, whole))
    {
        interleaved = arguments.workspace;
        norm.workspace = static_cast<char*>(arguments.workspace) + tensorBytes(arguments);
    }
    norm.input = interleaved;
    MapRequest const request = phasesRequest(place, batch, channels * place.numPhases(), arguments.layout);
    launchGather(gatherOf(arguments.input, interleaved, request, arguments.type, arguments.type), device, stream);
    launchWhole(norm, whole, device, stream);
}

} // namespace trtconv
