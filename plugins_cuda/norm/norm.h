// InstanceNorm on the GPU: y = activation(scale * (x - mean) / sqrt(variance + epsilon) + bias + residual), over each
// (n, c) slice, or over each group of neighbouring channels.
//
// This is the one door to the kernels of all layouts: norm/linear and norm/channels_last.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "common/device.h"
#include "common/element_type.h"
#include "common/layout.h"
#include "result/activation.h"
#include "result/image_place.h"
#include "result/phase_order.h"
#include "result/plane_place.h"

namespace trtconv
{

// A tensor [batch, channels, D1..Dk], the product of D1..Dk being sliceSize.
struct NormShape
{
    int64_t batch;
    int64_t channels;
    int64_t sliceSize;

    constexpr int64_t numSlices() const { return batch * channels; }
    constexpr bool isEmpty() const { return batch == 0 || channels == 0 || sliceSize == 0; }
    constexpr NormShape grouped(int64_t groups) const
    {
        return groups == 0 ? *this : NormShape{batch, groups, channels / groups * sliceSize};
    }
};

// What follows the affine; nothing by default.
struct EpilogueArguments
{
    void const* residual = nullptr; // like the input, added before the activation
    void const* slope = nullptr; // [channels]: of a PRelu
    Activation activation = Activation::kNone;
    float alpha = 0.0F; // of a leaky relu and of elu

    constexpr bool isNone() const { return residual == nullptr && activation == Activation::kNone; }
};

struct NormArguments
{
    void const* input; // contiguous in its layout; aligned to 16 bytes where that is channels-last
    void const* scale; // [channels], or [batch, channels]
    void const* bias; // like scale
    void* output; // like input, not overlapping it
    void* workspace; // normWorkspaceBytes, aligned to 16 bytes
    NormShape shape;
    float epsilon;
    ElementType type;
    Layout layout; // of input, residual and output
    bool isAffinePerImage = false; // scale and bias are [batch, channels]
    int64_t groups = 0; // of an image's channels, which they divide; 0: each channel is normalised by itself
    EpilogueArguments epilogue{};
    // Of channels-last images, without groups: where results go and residuals lie. Pads stay as they are.
    ImagePlaces const* places = nullptr;
    PhaseOrder const* phaseOrder = nullptr; // with places: the input's vectors are those of phases, in this order
    // Of linear images: the same, and the planes of the input may be those of phases. Only where isScattered.
    PlanePlaces const* planes = nullptr;

    constexpr int64_t channelsPerGroup() const { return groups == 0 ? 1 : shape.channels / groups; }
    // What has a mean of its own, as if it were a channel: the groups of a linear tensor are contiguous.
    constexpr NormShape slices() const { return shape.grouped(groups); }
};

// Whether there are kernels for tensors in this layout.
constexpr bool canNormIn(Layout layout)
{
    return layout == Layout::kLinear || layout == Layout::kChannelsLast;
}

// Returns the bytes of workspace that tensors of at most this shape need on any GPU, type, layout and groups being as
// given.
int64_t normWorkspaceBytes(NormArguments const& largest);

// Readies the kernels for the current device and returns its limits. Must be called once there, before the first
// launch.
DeviceLimits prepareNorm();

// Whether results are scattered to `planes`, which are given. The shape alone says so.
bool isScattered(NormArguments const& arguments);

// Returns the bytes of the largest tensor of at most this shape, with such planes, whose results are not scattered.
int64_t maxHeldBytes(NormArguments const& largest);

// Enqueues on `stream`; throws CudaError when a launch fails. Nothing is launched for an empty tensor. What lies
// between the channels of a channels-last tensor and whole vectors is not looked at, and becomes zero in the output.
void launchNorm(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
