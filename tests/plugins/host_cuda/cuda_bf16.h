#pragma once

#include "cuda_fp16.h"

struct __nv_bfloat16
{
    uint16_t bits;
};

inline __nv_bfloat16 __float2bfloat16_rn(float value)
{
    uint32_t const bits = bitsOf(value);
    bool const isNan = (bits & 0x7fffffffU) > 0x7f800000U;
    return {static_cast<uint16_t>(isNan ? 0x7fff : (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16)};
}

inline float __bfloat162float(__nv_bfloat16 value)
{
    return floatOf(uint32_t{value.bits} << 16);
}
