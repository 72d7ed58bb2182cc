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
};

template <typename T>
struct Epilogue
{
    T const* __restrict__ slopes; // [channels] of a PRelu, otherwise null
    Curve curve;
    float parameter; // of the curve, unless there are slopes
    bool hasResidual;

    __device__ float parameterAt(int64_t channel) const
    {
        return slopes == nullptr ? parameter : toFloat(slopes[channel]);
    }
};

constexpr int kMostHeldResiduals = 4; // vectors of a residual that a thread holds

template <Curve CurveOfForm, bool HasResidual>
struct EpilogueForm
{
    static constexpr Curve kCurve = CurveOfForm;
    static constexpr bool kHasResidual = HasResidual;
};

// Calls body(EpilogueForm{}) once with the form of the epilogue: around the loop over a thread's vectors, not within.
// The frequent forms have code of their own, the others take a residual of zeros where there is none.
template <typename T, typename Body>
__device__ void withForm(Epilogue<T> const& epilogue, Body const& body)
{
    switch (epilogue.curve)
    {
    case Curve::kLimit:
        return epilogue.hasResidual ? body(EpilogueForm<Curve::kLimit, true>{})
                                    : body(EpilogueForm<Curve::kLimit, false>{});
    case Curve::kSlope: return body(EpilogueForm<Curve::kSlope, true>{});
    case Curve::kSilu: return body(EpilogueForm<Curve::kSilu, true>{});
    case Curve::kElu: return body(EpilogueForm<Curve::kElu, true>{});
    case Curve::kTanh: return body(EpilogueForm<Curve::kTanh, true>{});
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

// Returns the result of a single value.
template <typename T>
__device__ T finishedOne(
    Epilogue<T> const& epilogue, float value, float residual, Affine const& affine, float parameter)
{
    float const sum = affine(value) + residual;
    float result = 0.0F;
    withForm(epilogue, [&](auto form) { result = activated<decltype(form)::kCurve>(sum, parameter); });
    return fromFloat<T>(result);
}

} // namespace trtconv
