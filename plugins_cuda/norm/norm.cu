#include "norm/norm.h"

#include "common/kernel_launch.cuh"
#include "norm/channels_last/launch.h"
#include "norm/channels_last/workspace.h"
#include "norm/linear/choice.h"
#include "norm/linear/launch.h"

namespace trtconv
{

int64_t normWorkspaceBytes(NormArguments const& largest)
{
    if (largest.shape.isEmpty())
    {
        return 0;
    }
    if (largest.layout == Layout::kLinear)
    {
        NormShape const slices = largest.slices();
        return linear::workspaceBytes(slices.numSlices(), slices.sliceSize);
    }
    auto const [batch, channels, pixels] = largest.shape;
    int32_t const vectorChannels = kVectorBytes / elementBytes(largest.type);
    return channels_last::workspaceBytes(batch, channels, pixels, largest.groups, vectorChannels);
}

DeviceLimits prepareNorm()
{
    DeviceLimits const device = compiledDeviceLimits();
    linear::prepare(device);
    channels_last::prepare(device);
    return device;
}

bool isScattered(NormArguments const& arguments)
{
    return arguments.layout == Layout::kLinear && arguments.groups == 0 && !arguments.shape.isEmpty()
        && linear::isScattered(arguments);
}

int64_t maxHeldBytes(NormArguments const& largest)
{
    return linear::maxHeldBytes(largest);
}

void launchNorm(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    if (arguments.shape.isEmpty())
    {
        return;
    }
    require(device.numProcessors > 0, "no CUDA device was readied");
    NormArguments own = arguments;
    own.groups = arguments.groups == arguments.shape.channels ? 0 : arguments.groups;
    auto const launch = arguments.layout == Layout::kLinear ? linear::launch : channels_last::launch;
    launch(own, device, stream);
}

} // namespace trtconv
