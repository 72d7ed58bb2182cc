// Fills the pads of images whose inside is already there: channels-last, in vectors of channels, or linear.
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
    void* data; // [images, rows, columns, wordsPerPixel], less than 2^31 words, aligned to their size
    int64_t numImages;
    PlaceAxis rows; // not empty inside
    PlaceAxis columns;
    int64_t wordsPerPixel;
    PadMode mode;
    int32_t wordBytes; // 2, 4 or 16
};

// Enqueues on `stream`; throws CudaError when the launch fails. Nothing is launched where there are no pads.
void launchFillPads(PaddedImages const& images, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv
