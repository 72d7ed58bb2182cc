// The activations of a result, as functions of one float. They run on both sides, so that tests hold them against
// float64 without a GPU.
//
// Accuracy: within 1e-6 of |y|, and of |alpha| for a large -y under elu. The GPU's fast instructions for 2^x and 1/x
// are good to 2 units in the last place; where a difference from 1 would cost digits, a few terms of the series serve.
// Both are computed and one is selected: a branch in each element cost elu and tanh up to 2.6x the norm alone (H100).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "common/host_device.h"

namespace trtconv
{

enum class Activation : int32_t // values are part of trtconv_kernels.h
{
    kNone = 0,
    kRelu = 1,
    kLeakyRelu = 2, // alpha is the slope below zero
    kPRelu = 3, // a slope for each channel
    kSilu = 4,
    kElu = 5,
    kTanh = 6,
};

// The form of an activation. It is uniform over a launch and chosen at run time, once for all vectors that a thread
// stores at a time.
enum class Curve : int32_t
{
    kLimit, // max(y, parameter): none by -inf, relu by 0
    kSlope, // y < 0 ? parameter * y : y
    kSilu,
    kElu, // y < 0 ? parameter * (exp(y) - 1) : y
    kTanh,
};

constexpr Curve curveOf(Activation activation)
{
    switch (activation)
    {
    case Activation::kLeakyRelu:
    case Activation::kPRelu: return Curve::kSlope;
    case Activation::kSilu: return Curve::kSilu;
    case Activation::kElu: return Curve::kElu;
    case Activation::kTanh: return Curve::kTanh;
    default: return Curve::kLimit;
    }
}

// Returns the number that the curve of an activation needs; a PRelu has one for each channel instead.
constexpr float parameterOf(Activation activation, float alpha)
{
    return activation == Activation::kNone ? -std::numeric_limits<float>::infinity()
        : activation == Activation::kRelu  ? 0.0F
                                           : alpha;
}

constexpr float kLog2E = 1.44269504F;

// Returns 2^exponent; results below 2^-126 become zero.
TRTCONV_HOST_DEVICE inline float fastExp2(float exponent)
{
#ifdef __CUDA_ARCH__
    float result = 0.0F;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(exponent));
    return result;
#else
    return std::exp2(exponent);
#endif
}

TRTCONV_HOST_DEVICE inline float fastInverse(float value)
{
#ifdef __CUDA_ARCH__
    float result = 0.0F;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
    return result;
#else
    return 1.0F / value;
#endif
}

// Returns the larger one, NaN where `value` is NaN.
TRTCONV_HOST_DEVICE inline float limited(float value, float lowest)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float result = 0.0F;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(value), "f"(lowest));
    return result;
#else
    return value < lowest ? lowest : value;
#endif
}

TRTCONV_HOST_DEVICE inline float sloped(float value, float slope)
{
    return value < 0.0F ? slope * value : value;
}

TRTCONV_HOST_DEVICE inline float silu(float value)
{
    return value * fastInverse(1.0F + fastExp2(value * -kLog2E));
}

TRTCONV_HOST_DEVICE inline float elu(float value, float alpha)
{
    constexpr float kSmall = -0.2F; // there the next term of the series is 5e-7 of the result
    float const series =
        value * fmaf(value, fmaf(value, fmaf(value, fmaf(value, 1.0F / 120, 1.0F / 24), 1.0F / 6), 0.5F), 1.0F);
    float const below = value > kSmall ? series : fastExp2(value * kLog2E) - 1.0F;
    return value < 0.0F ? alpha * below : value;
}

// Returns tanh(value).
TRTCONV_HOST_DEVICE inline float fastTanh(float value)
{
    constexpr float kSmall = 0.25F; // there the next term of the series is 4e-7 of the result
    float const square = value * value;
    float const series = fmaf(value * square, fmaf(square, fmaf(square, -17.0F / 315, 2.0F / 15), -1.0F / 3), value);
    float const far = fmaf(-2.0F, fastInverse(1.0F + fastExp2(value * (2 * kLog2E))), 1.0F);
    return fabsf(value) < kSmall ? series : far;
}

template <Curve Form>
TRTCONV_HOST_DEVICE float activated(float value, [[maybe_unused]] float parameter)
{
    if constexpr (Form == Curve::kLimit)
    {
        return limited(value, parameter);
    }
    else if constexpr (Form == Curve::kSlope)
    {
        return sloped(value, parameter);
    }
    else if constexpr (Form == Curve::kSilu)
    {
        return silu(value);
    }
    else if constexpr (Form == Curve::kElu)
    {
        return elu(value, parameter);
    }
    else
    {
        return fastTanh(value);
    }
}

} // namespace trtconv
