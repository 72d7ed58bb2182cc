// What surrounds a norm: the phases that it reads, the map that its results go through, the pads of its residual.
#pragma once

#include <cstdint>
#include <vector>

#include "common/element_type.h"
#include "gather/request.h"
#include "norm/norm.h"

namespace trtconv
{

// What surrounds a norm of X [N, C, D1..Dk], all by the k spatial axes. `pads` and `residualPads` hold begins, then
// ends. With phases X is [N, B * C, D1..Dk], as in a MapRequest: they are interleaved before all else.
struct NormPlace
{
    std::vector<int64_t> sizes; // D1..Dk of X
    std::vector<int64_t> upsample;
    std::vector<int64_t> pads;
    PadMode mode;
    std::vector<int64_t> residualPads;
    ElementType outputType;
    std::vector<int64_t> phases;
    std::vector<int64_t> crop;

    bool isPlaced(ElementType typeOfX) const;
    bool isResidualPadded() const;
    bool isPhased() const;
    bool isCropped() const;
    int64_t numPhases() const; // B

    // Returns the same for X with its phases interleaved.
    NormPlace interleaved() const;
};

// Returns the shape that is normalised of an X [N, channels, D1..Dk].
NormShape normalisedShape(NormPlace const& place, int64_t batch, int64_t channels);

// The map from such an X to what is normalised.
MapRequest phasesRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout);

// The maps of a place without phases: from the norm's result to Y, and from the residual as it is given to its
// inside. Both tensors lie in that layout.
MapRequest outputRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout);
MapRequest residualRequest(NormPlace const& place, int64_t batch, int64_t channels, Layout layout);

} // namespace trtconv
