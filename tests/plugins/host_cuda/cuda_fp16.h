// CUDA's 16-bit floats by whole-number arithmetic, rounded to the nearest, to even where two are as near.
#pragma once

#include <cmath>
#include <cstring>

#include "cuda_runtime_api.h"

inline uint32_t bitsOf(float value)
{
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

inline float floatOf(uint32_t bits)
{
    float value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

struct __half
{
    uint16_t bits;
};

inline __half __float2half_rn(float value)
{
    uint32_t const sign = bitsOf(value) >> 16 & 0x8000U;
    uint32_t const magnitude = bitsOf(value) & 0x7fffffffU;
    uint32_t bits = 0;
    if (magnitude > 0x7f800000U)
    {
        bits = 0x7e00; // NaN
    }
    else if (magnitude >= 0x477ff000U)
    {
        bits = 0x7c00; // 65520 and more
    }
    else if (magnitude < 0x38800000U)
    {
        bits = bitsOf(floatOf(magnitude) + 0.5F) - 0x3f000000U; // the last bits of 0.5 are those of a subnormal half
    }
    else
    {
        bits = (magnitude + 0xc8000fffU + (magnitude >> 13 & 1U)) >> 13;
    }
    return {static_cast<uint16_t>(sign | bits)};
}

inline float __half2float(__half value)
{
    int const exponent = value.bits >> 10 & 0x1f;
    int const mantissa = value.bits & 0x3ff;
    float const sign = (value.bits & 0x8000) != 0 ? -1.0F : 1.0F;
    if (exponent == 0x1f)
    {
        return mantissa != 0 ? NAN : sign * INFINITY;
    }
    return sign
        * std::ldexp(
            static_cast<float>(exponent == 0 ? mantissa : mantissa + 1024), (exponent == 0 ? 1 : exponent) - 25);
}
