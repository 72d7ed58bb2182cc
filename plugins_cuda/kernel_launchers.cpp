// The C entry points: check what C cannot, launch, and turn exceptions into a status.
#include <cmath>

#include "common/export.h"
#include "common/once_per_device.h"
#include "common/version.h"
#include "norm/norm.h"
#include "norm/placed.h"
#include "reflect_pad/reflect_pad.h"
#include "trtconv_kernels.h"

namespace
{

using namespace trtconv;

bool isAligned(void const* address, int64_t numBytes)
{
    return address != nullptr && reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(numBytes) == 0;
}

template <typename Body>
int statusOf(Body const& body) noexcept
{
    try
    {
        body();
        return 0;
    }
    catch (CudaError const& error)
    {
        return static_cast<int>(error.status());
    }
    catch (std::exception const&)
    {
        return TRTCONV_ERROR_OTHER;
    }
}

bool isKnownType(int32_t dtype)
{
    return dtype == TRTCONV_FLOAT32 || dtype == TRTCONV_FLOAT16 || dtype == TRTCONV_BFLOAT16;
}

bool isKnownFormat(int32_t format)
{
    return format == TRTCONV_FORMAT_LINEAR || format == TRTCONV_FORMAT_CHANNELS_LAST || format == TRTCONV_FORMAT_CHW4
        || format == TRTCONV_FORMAT_CHW32;
}

// Returns the limits of the current device, on which `Prepare` readies an op's kernels at its first launch there.
template <DeviceLimits (*Prepare)()>
DeviceLimits const& preparedDevice()
{
    static auto& prepared = *new OncePerDevice<DeviceLimits>(Prepare);
    return prepared.get();
}

bool isKnownActivation(int32_t activation)
{
    return activation >= TRTCONV_ACTIVATION_NONE && activation <= TRTCONV_ACTIVATION_TANH;
}

bool areCountable(int64_t batch, int64_t channels, int64_t sliceSize)
{
    int64_t const sizes[]{batch, channels, sliceSize};
    return isCountable(sizes, 3);
}

bool doGroupsDivide(int64_t groups, int64_t channels)
{
    return groups == 0 || (groups > 0 && channels % groups == 0);
}

bool areGoodOptions(trtconv_instance_norm_options const& options, int64_t channels)
{
    return isKnownActivation(options.activation) && std::isfinite(options.alpha)
        && doGroupsDivide(options.groups, channels);
}

NormPlace placeOf(trtconv_norm_place const& place)
{
    auto const listOf = [](int64_t const* values, int32_t count)
    { return std::vector<int64_t>(values, values + count); };
    int32_t const rank = place.rank;
    return {listOf(place.sizes, rank), listOf(place.upsample, rank), listOf(place.pads, 2 * rank),
        static_cast<PadMode>(place.pad_mode), listOf(place.residual_pads, 2 * rank),
        static_cast<ElementType>(place.output_dtype), listOf(place.phases, rank), listOf(place.crop, rank)};
}

// Returns the shape that is normalised of an input of that shape.
NormShape normalisedShape(NormShape const& input, trtconv_norm_place const* place)
{
    return place == nullptr ? input : normalisedShape(placeOf(*place), input.batch, input.channels);
}

// Whether a place is one, for an input of that shape.
bool isGoodPlace(trtconv_norm_place const& place, NormShape const& shape, int32_t dtype)
{
    bool const hasRank = place.rank >= 1 && place.rank <= kMaxRank - 2;
    bool const isKnown = hasRank && place.pad_mode >= TRTCONV_PAD_REFLECT && place.pad_mode <= TRTCONV_PAD_ZERO
        && isKnownType(place.output_dtype) && (place.output_dtype == dtype || dtype == TRTCONV_FLOAT32);
    auto const isNegative = [](int64_t pad) { return pad < 0; };
    if (!isKnown || !isCountable(place.sizes, place.rank)
        || std::any_of(place.residual_pads, place.residual_pads + 2 * place.rank, isNegative))
    {
        return false;
    }
    NormPlace const given = placeOf(place);
    int64_t sliceSize = 1;
    for (int64_t const size : given.sizes)
    {
        sliceSize *= size;
    }
    MapRequest const phases = phasesRequest(given, shape.batch, shape.channels, Layout::kLinear);
    if (sliceSize != shape.sliceSize || !isCountable(phases) || !hasGoodPhases(phases))
    {
        return false;
    }
    NormPlace const whole = given.interleaved();
    MapRequest const output = outputRequest(whole, shape.batch, shape.channels, Layout::kLinear);
    MapRequest const residual = residualRequest(whole, shape.batch, shape.channels, Layout::kLinear);
    return isCountable(output) && isCountable(residual) && findBadAxis(output) < 0;
}

bool isKnownMap(trtconv_output_map const& map, int32_t elementBytesOfInput)
{
    bool const isMoved = map.input_dtype == TRTCONV_WORDS && map.output_dtype == TRTCONV_WORDS
        && map.activation == TRTCONV_ACTIVATION_NONE;
    bool const isTyped = isKnownType(map.input_dtype) && isKnownType(map.output_dtype)
        && elementBytes(static_cast<ElementType>(map.input_dtype)) == elementBytesOfInput;
    bool const hasKnownActivation = isKnownActivation(map.activation) && map.activation != TRTCONV_ACTIVATION_PRELU;
    bool const hasKnownMode = map.pad_mode >= TRTCONV_PAD_REFLECT && map.pad_mode <= TRTCONV_PAD_ZERO;
    return (isMoved || isTyped) && hasKnownActivation && hasKnownMode && isKnownFormat(map.output_format);
}

// Returns what a pad is asked to do; no `map` stands for reflect pads alone.
MapRequest requestOf(
    int32_t rank, int64_t const* sizes, int64_t const* pads, int32_t format, trtconv_output_map const* map)
{
    MapRequest request{};
    request.rank = rank;
    std::copy(sizes, sizes + rank, request.sizes);
    std::copy(pads, pads + static_cast<ptrdiff_t>(2) * rank, request.pads);
    std::fill(request.upsample, request.upsample + rank, 1);
    request.inputLayout = static_cast<Layout>(format);
    request.outputLayout = request.inputLayout;
    if (map != nullptr)
    {
        std::copy(map->upsample, map->upsample + rank, request.upsample);
        std::copy(map->phases, map->phases + rank, request.phases);
        std::copy(map->crop, map->crop + rank, request.crop);
        request.mode = static_cast<PadMode>(map->pad_mode);
        request.outputLayout = static_cast<Layout>(map->output_format);
    }
    return request;
}

int32_t alignmentIn(int32_t format, int32_t elementBytes)
{
    return format == TRTCONV_FORMAT_LINEAR ? elementBytes : kVectorBytes;
}

} // namespace

TRTCONV_EXPORT int trtconv_instance_norm(void const* input, void const* scale, void const* bias, void* output,
    int64_t batch, int64_t channels, int64_t slice_size, float epsilon, int32_t dtype, int32_t format,
    trtconv_instance_norm_options const* options, void* workspace, size_t workspace_bytes, void* stream)
{
    trtconv_instance_norm_options const given = options == nullptr ? trtconv_instance_norm_options{} : *options;
    if (!areCountable(batch, channels, slice_size))
    {
        return TRTCONV_ERROR_SHAPE;
    }
    if (!isKnownType(dtype) || !isKnownFormat(format) || !canNormIn(static_cast<Layout>(format)))
    {
        return TRTCONV_ERROR_TYPE;
    }
    NormShape const inputShape{batch, channels, slice_size};
    if (given.place != nullptr && !isGoodPlace(*given.place, inputShape, dtype))
    {
        return TRTCONV_ERROR_OPTION;
    }
    NormShape const shape = normalisedShape(inputShape, given.place);
    if (!areGoodOptions(given, shape.channels))
    {
        return TRTCONV_ERROR_OPTION;
    }
    if (shape.isEmpty())
    {
        return 0;
    }
    auto const type = static_cast<ElementType>(dtype);
    int32_t const alignment = alignmentIn(format, elementBytes(type));
    if (!isAligned(input, alignment) || !isAligned(output, alignment) || !isAligned(scale, elementBytes(type))
        || !isAligned(bias, elementBytes(type)) || (given.residual != nullptr && !isAligned(given.residual, alignment))
        || (given.activation == TRTCONV_ACTIVATION_PRELU && !isAligned(given.slope, elementBytes(type))))
    {
        return TRTCONV_ERROR_POINTER;
    }
    size_t const neededBytes =
        trtconv_instance_norm_workspace_bytes(batch, channels, slice_size, dtype, format, given.groups, given.place);
    if (workspace_bytes < neededBytes || (neededBytes != 0 && !isAligned(workspace, kVectorBytes)))
    {
        return TRTCONV_ERROR_WORKSPACE;
    }
    return statusOf(
        [&]
        {
            bool const isPRelu = given.activation == TRTCONV_ACTIVATION_PRELU;
            EpilogueArguments const epilogue{given.residual, isPRelu ? given.slope : nullptr,
                static_cast<Activation>(given.activation), given.alpha};
            NormArguments const arguments{input, scale, bias, output, workspace, shape, epsilon, type,
                static_cast<Layout>(format), given.is_affine_per_image != 0, given.groups, epilogue};
            DeviceLimits const& device = preparedDevice<prepareNorm>();
            if (given.place == nullptr)
            {
                return launchNorm(arguments, device, static_cast<cudaStream_t>(stream));
            }
            launchPlacedNorm(arguments, placeOf(*given.place), device, static_cast<cudaStream_t>(stream));
        });
}

TRTCONV_EXPORT size_t trtconv_instance_norm_workspace_bytes(int64_t batch, int64_t channels, int64_t slice_size,
    int32_t dtype, int32_t format, int64_t groups, trtconv_norm_place const* place)
{
    auto const layout = static_cast<Layout>(format);
    NormShape const inputShape{batch, channels, slice_size};
    bool const isTaken = areCountable(batch, channels, slice_size) && isKnownType(dtype) && isKnownFormat(format)
        && canNormIn(layout) && (place == nullptr || isGoodPlace(*place, inputShape, dtype));
    if (!isTaken)
    {
        return 0; // the launcher refuses it
    }
    NormShape const shape = normalisedShape(inputShape, place);
    if (!doGroupsDivide(groups, shape.channels))
    {
        return 0;
    }
    NormArguments arguments{};
    arguments.shape = shape;
    arguments.type = static_cast<ElementType>(dtype);
    arguments.layout = layout;
    arguments.groups = groups;
    return static_cast<size_t>(
        place == nullptr ? normWorkspaceBytes(arguments) : placedWorkspaceBytes(arguments, placeOf(*place), false));
}

TRTCONV_EXPORT int trtconv_reflect_pad(void const* input, void* output, int32_t rank, int64_t const* sizes,
    int64_t const* pads, int32_t element_bytes, int32_t format, trtconv_output_map const* map, void* stream)
{
    bool const hasKnownBytes = element_bytes == 1 || element_bytes == 2 || element_bytes == 4 || element_bytes == 8;
    if (!hasKnownBytes || !isKnownFormat(format) || (map != nullptr && !isKnownMap(*map, element_bytes)))
    {
        return TRTCONV_ERROR_TYPE;
    }
    if (rank < 1 || rank > kMaxRank || std::any_of(sizes, sizes + rank, [](int64_t size) { return size < 0; }))
    {
        return TRTCONV_ERROR_SHAPE;
    }
    GatherArguments arguments{input, output, requestOf(rank, sizes, pads, format, map), element_bytes};
    if (map != nullptr && map->input_dtype != TRTCONV_WORDS)
    {
        arguments.isComputed = map->activation != TRTCONV_ACTIVATION_NONE || map->input_dtype != map->output_dtype;
        arguments.inputType = static_cast<ElementType>(map->input_dtype);
        arguments.outputType = static_cast<ElementType>(map->output_dtype);
        arguments.activation = static_cast<Activation>(map->activation);
        arguments.alpha = map->alpha;
    }
    if (!isCountable(arguments.request) || !hasGoodPhases(arguments.request) || findBadAxis(arguments.request) >= 0
        || !canMapBetween(arguments.request))
    {
        return TRTCONV_ERROR_SHAPE;
    }
    if (arguments.request.numOutputs() == 0)
    {
        return 0;
    }
    auto const outputFormat = static_cast<int32_t>(arguments.request.outputLayout);
    if (!isAligned(input, alignmentIn(format, element_bytes))
        || !isAligned(output, alignmentIn(outputFormat, arguments.outputBytes())))
    {
        return TRTCONV_ERROR_POINTER;
    }
    return statusOf(
        [&] { launchPad(arguments, preparedDevice<prepareReflectPad>(), static_cast<cudaStream_t>(stream)); });
}

TRTCONV_EXPORT char const* trtconv_plugin_library_version()
{
    return kLibraryVersion;
}
