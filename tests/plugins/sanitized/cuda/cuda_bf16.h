#pragma once

#include "cuda_runtime_api.h"

struct __nv_bfloat16
{
    uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 /*value*/)
{
    return 0;
}

inline __nv_bfloat16 __float2bfloat16_rn(float /*value*/)
{
    return {};
}

struct __nv_bfloat162
{
    __nv_bfloat16 x, y;
};

__nv_bfloat162 __float2bfloat162_rn(float value);
__nv_bfloat162 __floats2bfloat162_rn(float low, float high);
