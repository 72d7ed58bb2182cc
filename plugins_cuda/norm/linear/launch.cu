#include "norm/linear/launch.h"

#include "common/element_type.cuh"
#include "norm/linear/slice_shape.h"

namespace trtconv::linear
{

void prepare(DeviceLimits const& device)
{
    if (device.majorVersion < kHopperMajorVersion)
    {
        return;
    }
    for (ElementType const type : {ElementType::kFloat32, ElementType::kFloat16, ElementType::kBFloat16})
    {
        dispatchElementType(type,
            [&](auto tag)
            {
                using T = typename decltype(tag)::Type;
                prepareType<T>(device);
                prepareScattered<T>(device);
            });
    }
}

bool isScattered(NormArguments const& arguments)
{
    return isScattered(scatteredShape(arguments));
}

int64_t maxHeldBytes(NormArguments const& largest)
{
    return maxHeldBytes(scatteredShape(largest));
}

void launch(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchElementType(arguments.type,
        [&](auto tag)
        {
            using T = typename decltype(tag)::Type;
            auto const launchOf = arguments.planes == nullptr ? launchType<T> : launchScattered<T>;
            launchOf(arguments, device, stream);
        });
}

} // namespace trtconv::linear
