// What a gather makes of the elements that it reads: moves them as words, or passes them through an activation.
#pragma once

#include "common/element_type.cuh"
#include "result/activation.h"

namespace trtconv
{

template <typename Word>
struct MoveWords
{
    using Input = Word;
    using Output = Word;
    static constexpr bool kIsMove = true;

    template <int Size>
    __device__ Vector<Word, Size> operator()(Vector<Word, Size> const& values, int /*count*/ = Size) const
    {
        return values;
    }
};

// Computes in fp32 and rounds once.
template <typename In, typename Out>
struct ConvertElements
{
    using Input = In;
    using Output = Out;
    static constexpr bool kIsMove = false;

    Curve curve; // of the activation
    float parameter; // of the curve

    // Returns the results of the first `count` values, which is the same for all threads; the others are zero.
    template <int Size>
    __device__ Vector<Out, Size> operator()(Vector<In, Size> const& values, int count = Size) const
    {
        switch (curve) // one branch for all values: the activation is the same in the whole launch
        {
        case Curve::kLimit: return converted<Curve::kLimit>(values, count);
        case Curve::kSlope: return converted<Curve::kSlope>(values, count);
        case Curve::kSilu: return converted<Curve::kSilu>(values, count);
        case Curve::kElu: return converted<Curve::kElu>(values, count);
        default: return converted<Curve::kTanh>(values, count);
        }
    }

private:
    template <Curve Form, int Size>
    __device__ Vector<Out, Size> converted(Vector<In, Size> const& values, int count) const
    {
        Vector<Out, Size> results{};
        TRTCONV_UNROLL
        for (int i = 0; i < Size; ++i)
        {
            if (i < count)
            {
                results.elements[i] = fromFloat<Out>(activated<Form>(toFloat(values.elements[i]), parameter));
            }
        }
        return results;
    }
};

template <typename In, typename Out>
ConvertElements<In, Out> makeConversion(Activation activation, float alpha)
{
    return {curveOf(activation), parameterOf(activation, alpha)};
}

} // namespace trtconv
