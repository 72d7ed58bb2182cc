// What a norm makes of a value once the statistics of its slice are known.
#pragma once

#include <cmath>

#include "common/host_device.h"

namespace trtconv
{

// y = (x - mean) * factor + offset: the difference to the rounded mean is exact wherever x is near it.
struct Affine
{
    float mean;
    float factor;
    float offset;

    TRTCONV_HOST_DEVICE float operator()(float value) const { return fmaf(value - mean, factor, offset); }
};

} // namespace trtconv
