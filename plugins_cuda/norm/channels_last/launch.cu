#include "norm/channels_last/launch.h"

#include "common/element_type.cuh"

namespace trtconv::channels_last
{

void prepare(DeviceLimits const& device)
{
    for (ElementType const type : {ElementType::kFloat32, ElementType::kFloat16, ElementType::kBFloat16})
    {
        dispatchElementType(type, [&](auto tag) { prepareType<typename decltype(tag)::Type>(device); });
    }
}

void launch(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchElementType(
        arguments.type, [&](auto tag) { launchType<typename decltype(tag)::Type>(arguments, device, stream); });
}

} // namespace trtconv::channels_last
