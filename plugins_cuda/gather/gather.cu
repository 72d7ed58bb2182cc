#include "gather/gather.h"

#include "gather/launch.cuh"

namespace trtconv
{

namespace
{

template <typename Word>
void launchMoved(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    launchFast(GatherLauncher<MoveWords<Word>>{{arguments, {}, device, stream}});
}

// Moves words of several elements where both layouts are the same and an axis that is not mapped allows it.
template <typename Word>
void launchWidened(
    GatherArguments const& arguments, MapShape const& shape, DeviceLimits const& device, cudaStream_t stream)
{
    GatherLauncher<MoveWords<Word>>{{arguments, {}, device, stream}}.planes(shape);
}

void launchMovedBySize(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    MapRequest const& request = arguments.request;
    bool const isWidened = request.inputLayout == request.outputLayout && request.inputLayout != Layout::kChannelsLast;
    if (isWidened && !request.isPhased())
    {
        MapWords const words = widenWords(makeElementShape(request, arguments.elementBytes, arguments.elementBytes),
            arguments.elementBytes, commonAlignment(arguments.input, arguments.output));
        switch (words.bytes)
        {
        case 1: return launchWidened<uint8_t>(arguments, words.shape, device, stream);
        case 2: return launchWidened<uint16_t>(arguments, words.shape, device, stream);
        case 4: return launchWidened<uint32_t>(arguments, words.shape, device, stream);
        default: return launchWidened<uint64_t>(arguments, words.shape, device, stream);
        }
    }
    switch (arguments.elementBytes)
    {
    case 1: return launchMoved<uint8_t>(arguments, device, stream);
    case 2: return launchMoved<uint16_t>(arguments, device, stream);
    case 4: return launchMoved<uint32_t>(arguments, device, stream);
    case 8: return launchMoved<uint64_t>(arguments, device, stream);
    default: throw PluginError(text("elements of ", arguments.elementBytes, " bytes cannot be mapped"));
    }
}

} // namespace

void launchGather(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    if (arguments.request.numOutputs() == 0)
    {
        return;
    }
    if (!arguments.isComputed)
    {
        return launchMovedBySize(arguments, device, stream);
    }
    switch (arguments.inputType)
    {
    case ElementType::kFloat32: return launchConverted<float>(arguments, device, stream);
    case ElementType::kFloat16: return launchConverted<__half>(arguments, device, stream);
    case ElementType::kBFloat16: return launchConverted<__nv_bfloat16>(arguments, device, stream);
    }
}

} // namespace trtconv
