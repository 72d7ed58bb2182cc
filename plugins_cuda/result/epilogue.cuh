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
    kPlaced, // likewise, each channel by itself, and through an output map; of linear tensors also of phases
    kPhased, // likewise, of channels-last phases, which are put into their places first
};

template <ResultKind Kind>
constexpr bool kIsPlaced = Kind == ResultKind::kPlaced || Kind == ResultKind::kPhased;

template <typename T>
struct Epilogue
{
    T const* __restrict__ slopes; // [channels] of a PRelu, otherwise null
    float parameter; // of the curve, unless there are slopes
    Curve curve;
    bool hasResidual;
    // The curve again, kTanh if it is none of these: tested one after another, where the compiler makes a table of
    // branches of an enumerator, which has to be fetched. H200, [1,256,64,64] fp32 with relu: 1.09 times the plain norm
    // by table, 1.08 and 1.09 by tests in two runs. That shows no gain.
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

// The elements of a word of a vector: one float, or two numbers of 16 bits. Taken out of words by hand, as the compiler
// spends 16 instructions more on a vector of eight numbers that it sees as an array.
template <typename T>
struct Word;

template <>
struct Word<float>
{
    static constexpr int kSize = 1;

    __device__ static void unpack(uint32_t word, float (&values)[kSize]) { values[0] = __uint_as_float(word); }
    __device__ static uint32_t pack(float const (&values)[kSize]) { return __float_as_uint(values[0]); }
};

template <>
struct Word<__half>
{
    static constexpr int kSize = 2;

    __device__ static __half2 pairOf(float value) { return __float2half2_rn(value); }
    __device__ static __half2& asPair(uint32_t& word) { return reinterpret_cast<__half2&>(word); }
    __device__ static void unpack(uint32_t word, float (&values)[kSize])
    {
        float2 const both = __half22float2(asPair(word));
        values[0] = both.x;
        values[1] = both.y;
    }
    __device__ static uint32_t pack(float const (&values)[kSize])
    {
        __half2 pair = __floats2half2_rn(values[0], values[1]);
        return reinterpret_cast<uint32_t&>(pair);
    }
};

template <>
struct Word<__nv_bfloat16>
{
    static constexpr int kSize = 2;

    __device__ static __nv_bfloat162 pairOf(float value) { return __float2bfloat162_rn(value); }
    __device__ static __nv_bfloat162& asPair(uint32_t& word) { return reinterpret_cast<__nv_bfloat162&>(word); }
    __device__ static void unpack(uint32_t word, float (&values)[kSize])
    {
        values[0] = __uint_as_float(word << 16);
        values[1] = __uint_as_float(word & 0xffff0000U);
    }
    __device__ static uint32_t pack(float const (&values)[kSize])
    {
        __nv_bfloat162 pair = __floats2bfloat162_rn(values[0], values[1]);
        return reinterpret_cast<uint32_t&>(pair);
    }
};

// Hides a vector from the compiler: it would convert those of a whole tile to float ahead of the choice of a form, and
// have no registers for them.
template <typename Form>
__device__ void hide(uint4& words)
{
    asm volatile("// form %4"
        : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w)
        : "n"(static_cast<int>(Form::kCurve) * 2 + Form::kHasResidual));
}

// Returns the results of a word; affineAt(i) and parameterAt(i) are of its element i.
template <typename Form, typename T, typename AffineAt, typename ParameterAt>
__device__ uint32_t finishedWord(
    uint32_t word, uint32_t residualWord, AffineAt const& affineAt, ParameterAt const& parameterAt)
{
    constexpr int kSize = Word<T>::kSize;
#if __CUDA_ARCH__ >= 800
    constexpr bool kLimitsPairs = Form::kCurve == Curve::kLimit && kSize == 2; // rounding keeps the order
#else
    constexpr bool kLimitsPairs = false;
#endif
    float values[kSize];
    Word<T>::unpack(word, values);
    float added[kSize]{};
    if constexpr (Form::kHasResidual)
    {
        Word<T>::unpack(residualWord, added);
    }
    TRTCONV_UNROLL
    for (int i = 0; i < kSize; ++i)
    {
        values[i] = affineAt(i)(values[i]);
        if constexpr (Form::kHasResidual)
        {
            values[i] += added[i];
        }
        if constexpr (!kLimitsPairs)
        {
            values[i] = activated<Form::kCurve>(values[i], parameterAt(i));
        }
    }
    uint32_t result = Word<T>::pack(values);
    if constexpr (kLimitsPairs)
    {
        auto& pair = Word<T>::asPair(result);
        pair = __hmax2_nan(pair, Word<T>::pairOf(parameterAt(0)));
    }
    return result;
}

// Returns the results of a vector; affineAt(i) and parameterAt(i) are of its element i.
template <typename Form, typename T, typename AffineAt, typename ParameterAt>
__device__ uint4 finished(uint4 words, uint4 residual, AffineAt const& affineAt, ParameterAt const& parameterAt)
{
    constexpr int kSize = Word<T>::kSize;
    hide<Form>(words);
    auto const finishedAt = [&](uint32_t word, uint32_t residualWord, int first)
    {
        return finishedWord<Form, T>(
            word, residualWord, [&](int i) { return affineAt(first + i); },
            [&](int i) { return parameterAt(first + i); });
    };
    return make_uint4(finishedAt(words.x, residual.x, 0), finishedAt(words.y, residual.y, kSize),
        finishedAt(words.z, residual.z, 2 * kSize), finishedAt(words.w, residual.w, 3 * kSize));
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
