// The tensor of a norm as the launch choice of the linear kernels sees it.
#pragma once

#include "norm/linear/scatter_choice.h"
#include "norm/norm.h"

namespace trtconv::linear
{

inline int32_t elementsPastAlignment(void const* address, int32_t bytesPerElement)
{
    return static_cast<int32_t>(reinterpret_cast<uintptr_t>(address) % kVectorBytes) / bytesPerElement;
}

// Vectors serve any alignment that the tensors share; TensorRT's are all aligned to 256 bytes. A vector lies within one
// channel. Results that are scattered, and their residuals, may be aligned differently.
inline SliceShape sliceShape(NormArguments const& arguments)
{
    int32_t const numBytes = elementBytes(arguments.type);
    int32_t const vectorSize = kVectorBytes / numBytes;
    void const* const residual = arguments.epilogue.residual;
    int32_t const offset = elementsPastAlignment(arguments.input, numBytes);
    bool const areAlignedAlike = arguments.planes != nullptr
        || (offset == elementsPastAlignment(arguments.output, numBytes)
            && (residual == nullptr || offset == elementsPastAlignment(residual, numBytes)));
    bool const hasVectors =
        areAlignedAlike && (arguments.groups == 0 || areWholeVectors(arguments.shape.sliceSize, offset, vectorSize));
    NormShape const slices = arguments.slices();
    return {slices.numSlices(), slices.sliceSize, hasVectors ? offset : 0, hasVectors ? vectorSize : 1};
}

// Returns what decides whether the results of these arguments, which have planes, are scattered to them.
inline ScatteredShape scatteredShape(NormArguments const& arguments)
{
    PlanePlaces const& places = *arguments.planes;
    return {arguments.shape.numSlices(), arguments.shape.sliceSize, elementBytes(arguments.type), places.phases.value(),
        places.result.columnCopies.value()};
}

} // namespace trtconv::linear
