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

    template <int Size>
    __device__ Vector<Word, Size> operator()(Vector<Word, Size> const& values) const
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

    Curve curve; // of the activation
    float parameter; // of the curve

    template <int Size>
    __device__ Vector<Out, Size> operator()(Vector<In, Size> const& values) const
    {
        switch (curve) // one branch for all values: the activation is the same in the whole launch
        {
        case Curve::kLimit: return converted<Curve::kLimit>(values);
        case Curve::kSlope: return converted<Curve::kSlope>(values);
        case Curve::kSilu: return converted<Curve::kSilu>(values);
        case Curve::kElu: return converted<Curve::kElu>(values);
        default: return converted<Curve::kTanh>(values);
        }
    }

private:
    template <Curve Form, int Size>
    __device__ Vector<Out, Size> converted(Vector<In, Size> const& values) const
    {
        Vector<Out, Size> results;
        TRTCONV_UNROLL
        for (int i = 0; i < Size; ++i)
        {
            results.elements[i] = fromFloat<Out>(activated<Form>(toFloat(values.elements[i]), parameter));
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
