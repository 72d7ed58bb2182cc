// Fills the pads of channels-last images whose inside is already there.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "common/device.h"
#include "result/image_place.h"
#include "result/output_map.h"

namespace trtconv
{

struct PaddedImages
{
    void* data; // [images, rows, columns, vectorsPerPixel] of 16 bytes, less than 2^31 of them, aligned to 16 bytes
    int64_t numImages;
    PlaceAxis rows; // not empty inside
    PlaceAxis columns;
    int64_t vectorsPerPixel;
    PadMode mode;
};

// Enqueues on `stream`; throws CudaError when the launch fails. Nothing is launched where there are no pads.
void launchFillPads(PaddedImages const& images, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
