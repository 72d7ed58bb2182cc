#include "norm/linear/launch.h"

#include "common/element_type.cuh"

namespace trtconv::linear
{

void prepare(DeviceLimits const& device)
{
    if (device.majorVersion >= kHopperMajorVersion)
    {
        prepareType<float>(device);
        prepareType<__half>(device);
        prepareType<__nv_bfloat16>(device);
    }
}

void launch(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchElementType(
        arguments.type, [&](auto tag) { launchType<typename decltype(tag)::Type>(arguments, device, stream); });
}

} // namespace trtconv::linear
