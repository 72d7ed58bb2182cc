// A norm of a tensor that may lie in phases, whose results go through an output map, and whose residual may be the
// inside of a padded tensor.
#pragma once

#include <cstdint>

#include "norm/norm.h"
#include "norm/place.h"

namespace trtconv
{

// Returns the bytes of workspace that such a norm needs; unless the shape is fixed, tensors of at most this shape need
// no more. The shape of the arguments is that of what is normalised.
int64_t placedWorkspaceBytes(NormArguments const& largest, NormPlace const& place, bool isFixed);

// As launchNorm, the input being X and the output that of the place, which overlaps no other tensor. A result that the
// norm cannot write through the map goes through the workspace, and so do phases that it cannot read, or through the
// output.
void launchPlacedNorm(
    NormArguments const& arguments, NormPlace const& place, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
