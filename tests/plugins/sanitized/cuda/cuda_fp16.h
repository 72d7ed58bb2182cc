#pragma once

#include "cuda_runtime_api.h"

struct __half
{
    uint16_t bits;
};

// Called by kernels alone, which are never run.
inline float __half2float(__half /*value*/)
{
    return 0;
}

inline __half __float2half_rn(float /*value*/)
{
    return {};
}

struct __half2
{
    __half x, y;
};

float2 __half22float2(__half2 value);
__half2 __float2half2_rn(float value);
__half2 __floats2half2_rn(float low, float high);
