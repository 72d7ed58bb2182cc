#include "norm/norm.h"

#include "norm/channels_last/choice.h"
#include "norm/channels_last/launch.h"
#include "norm/linear/launch.cuh"

namespace trtconv
{

int64_t normWorkspaceBytes(Layout layout, NormShape const& largest)
{
    return layout == Layout::kLinear ? linear::workspaceBytes(largest.numSlices(), largest.sliceSize)
                                     : channels_last::workspaceBytes(largest.sliceSize);
}

DeviceLimits prepareNorm()
{
    DeviceLimits const device = compiledDeviceLimits();
    linear::prepare(device);
    channels_last::prepare(device);
    return device;
}

void launchNorm(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    if (arguments.shape.isEmpty())
    {
        return;
    }
    require(device.numProcessors > 0, "no CUDA device was readied");
    auto const launch = arguments.layout == Layout::kLinear ? linear::launch : channels_last::launch;
    launch(arguments, device, stream);
}

} // namespace trtconv
