// Y made of X through an output map, an activation and a change of type or layout: each element of Y reads its source.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "common/device.h"
#include "common/element_type.h"
#include "gather/request.h"
#include "result/activation.h"

namespace trtconv
{

struct GatherArguments
{
    void const* input; // contiguous in the request's input layout
    void* output; // contiguous in its output layout, not overlapping the input
    MapRequest request; // which canMapBetween, without a bad axis
    int32_t elementBytes; // of X: 1, 2, 4 or 8
    bool isComputed = false; // by the types and the activation below; otherwise elements are moved bit for bit
    ElementType inputType = ElementType::kFloat32;
    ElementType outputType = ElementType::kFloat32;
    Activation activation = Activation::kNone;
    float alpha = 0;

    constexpr int32_t outputBytes() const { return isComputed ? trtconv::elementBytes(outputType) : elementBytes; }
};

// Enqueues on `stream`; throws CudaError when the launch fails. Nothing is launched for an empty output.
void launchGather(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
