// A norm whose results go through an output map, and whose residual may be the inside of a padded tensor.
#pragma once

#include <cstdint>
#include <vector>

#include "gather/request.h"
#include "norm/norm.h"

namespace trtconv
{

// What surrounds a norm of X [N, C, D1..Dk], all by the k spatial axes. `pads` and `residualPads` hold begins, then
// ends.
struct NormPlace
{
    std::vector<int64_t> sizes; // D1..Dk of X
    std::vector<int64_t> upsample;
    std::vector<int64_t> pads;
    PadMode mode;
    std::vector<int64_t> residualPads;
    ElementType outputType;

    bool isPlaced(ElementType typeOfX) const;
    bool isResidualPadded() const;
};

// The map from the norm's result to Y, both in that layout.
MapRequest outputRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout);

// The map from the residual as it is given to its inside, which has the shape of X.
MapRequest residualRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout);

// Returns the bytes of workspace that such a norm needs; tensors of at most this shape need no more.
int64_t placedWorkspaceBytes(NormArguments const& largest, NormPlace const& place);

// As launchNorm, the output being that of the place. What it cannot write through the map at once is normalised into
// the workspace first.
void launchPlacedNorm(
    NormArguments const& arguments, NormPlace const& place, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
