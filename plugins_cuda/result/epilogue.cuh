// What is made of a normalised value before it is rounded: residual and activation, chosen at run time.
#pragma once

#include "common/element_type.cuh"
#include "result/activation.h"
#include "result/affine.h"

namespace trtconv
{

// How a norm's kernels write. Beside the plain build of each there is one for all epilogues.
enum class ResultKind
{
    kPlain, // the affine alone: what is fused costs it nothing
    kFused, // with an epilogue
    kGrouped, // likewise, and the affine differs by channel within a slice
    kPlaced, // likewise, each channel by itself, and through an output map
};

template <typename T>
struct Epilogue
{
    T const* __restrict__ slopes; // [channels] of a PRelu, otherwise null
    float parameter; // of the curve, unless there are slopes
    Curve curve;
    bool hasResidual;
    // The curve again, kTanh if it is none of these. Apart, they are tested one after another: the compiler makes a
    // table of branches of an enumerator, and to fetch that took longer than all else in a small launch.
    bool isLimit;
    bool isSlope;
    bool isSilu;
    bool isElu;

    __device__ float parameterAt(int64_t channel) const
    {
        return slopes == nullptr ? parameter : toFloat(slopes[channel]);
    }
};

template <typename T>
Epilogue<T> makeEpilogue(Activation activation, float alpha, void const* slopes, bool hasResidual)
{
    Curve const curve = curveOf(activation);
    return {static_cast<T const*>(slopes), parameterOf(activation, alpha), curve, hasResidual, curve == Curve::kLimit,
        curve == Curve::kSlope, curve == Curve::kSilu, curve == Curve::kElu};
}

constexpr int kMostHeldResiduals = 4; // vectors of a residual that a thread holds

template <Curve CurveOfForm, bool HasResidual>
struct EpilogueForm
{
    static constexpr Curve kCurve = CurveOfForm;
    static constexpr bool kHasResidual = HasResidual;
};

// Calls body(EpilogueForm{}) once with the curve of the epilogue: around the loop over a thread's vectors, not within.
template <bool HasResidual, typename T, typename Body>
__device__ void withCurve(Epilogue<T> const& epilogue, Body const& body)
{
    if (epilogue.isLimit)
    {
        body(EpilogueForm<Curve::kLimit, HasResidual>{});
    }
    else if (epilogue.isSlope)
    {
        body(EpilogueForm<Curve::kSlope, HasResidual>{});
    }
    else if (epilogue.isSilu)
    {
        body(EpilogueForm<Curve::kSilu, HasResidual>{});
    }
    else if (epilogue.isElu)
    {
        body(EpilogueForm<Curve::kElu, HasResidual>{});
    }
    else
    {
        body(EpilogueForm<Curve::kTanh, HasResidual>{});
    }
}

// The same where code has to be small: the frequent forms have code without a residual, the others add zeros.
template <typename T, typename Body>
__device__ void withForm(Epilogue<T> const& epilogue, Body const& body)
{
    if (!epilogue.hasResidual && epilogue.isLimit)
    {
        body(EpilogueForm<Curve::kLimit, false>{});
    }
    else if (!epilogue.hasResidual && epilogue.isSilu)
    {
        body(EpilogueForm<Curve::kSilu, false>{});
    }
    else
    {
        withCurve<true>(epilogue, body);
    }
}

__device__ inline __half2 pairOf(__half value)
{
    return __half2half2(value);
}

__device__ inline __nv_bfloat162 pairOf(__nv_bfloat16 value)
{
    return __bfloat162bfloat162(value);
}

// Limits a vector of 16-bit numbers, two at a time: rounding keeps their order, so it may come first.
template <typename T, int Size>
__device__ void limitPairs(Vector<T, Size>& vector, float lowest)
{
#if __CUDA_ARCH__ >= 800
    auto const pair = pairOf(fromFloat<T>(lowest));
    auto* const pairs = reinterpret_cast<std::decay_t<decltype(pair)>*>(vector.elements);
    TRTCONV_UNROLL
    for (int i = 0; i < Size / 2; ++i)
    {
        pairs[i] = __hmax2_nan(pairs[i], pair);
    }
#endif
}

// Returns the vector, hidden from the compiler: it would convert those of a whole tile to float ahead of the choice of
// a form, and have no registers for them.
template <typename Form, typename T, int Size>
__device__ Vector<T, Size> hidden(Vector<T, Size> const& vector)
{
    VectorPiece<T, Size> piece{};
    piece.vector = vector;
    if constexpr (Size > 1)
    {
        uint4& words = piece.piece;
        asm volatile("// form %4"
            : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w)
            : "n"(static_cast<int>(Form::kCurve) * 2 + Form::kHasResidual));
    }
    return piece.vector;
}

// Returns the results of a vector. affineAt(i) and parameterAt(i) are of element i.
template <typename Form, typename T, int Size, typename AffineAt, typename ParameterAt>
__device__ Vector<T, Size> finished(Vector<T, Size> const& vector, Vector<T, Size> const& residual,
    AffineAt const& affineAt, ParameterAt const& parameterAt)
{
#if __CUDA_ARCH__ >= 800
    constexpr bool kLimitsPairs = Form::kCurve == Curve::kLimit && sizeof(T) == 2 && Size > 1;
#else
    constexpr bool kLimitsPairs = false;
#endif
    Vector<T, Size> const own = hidden<Form>(vector);
    Vector<T, Size> result;
    TRTCONV_UNROLL
    for (int i = 0; i < Size; ++i)
    {
        float value = affineAt(i)(toFloat(own.elements[i]));
        if constexpr (Form::kHasResidual)
        {
            value += toFloat(residual.elements[i]);
        }
        if constexpr (!kLimitsPairs)
        {
            value = activated<Form::kCurve>(value, parameterAt(i));
        }
        result.elements[i] = fromFloat<T>(value);
    }
    if constexpr (kLimitsPairs)
    {
        limitPairs(result, parameterAt(0));
    }
    return result;
}

// Returns the result of a single value: not the fastest code, but little of it.
__device__ __noinline__ static float finishedOne(Curve curve, float sum, float parameter)
{
    switch (curve)
    {
    case Curve::kLimit: return activated<Curve::kLimit>(sum, parameter);
    case Curve::kSlope: return activated<Curve::kSlope>(sum, parameter);
    case Curve::kSilu: return activated<Curve::kSilu>(sum, parameter);
    case Curve::kElu: return activated<Curve::kElu>(sum, parameter);
    default: return activated<Curve::kTanh>(sum, parameter);
    }
}

} // namespace trtconv
