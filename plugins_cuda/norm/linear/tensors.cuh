// The tensors of one launch, typed, and how a kernel reads and writes them.
#pragma once

#include <type_traits>

#include "common/element_type.cuh"
#include "common/fast_divisor.h"
#include "norm/linear/choice.h"
#include "norm/statistics.h"

namespace trtconv::linear
{

template <typename T>
struct Tensors
{
    T const* __restrict__ input;
    T const* __restrict__ scale;
    T const* __restrict__ bias;
    T* __restrict__ output;
    int64_t numSlices;
    int64_t channels;
    int64_t sliceSize;
    FastDivisor<uint32_t> channelDivisor; // where all slice numbers are below 2^31
    double inverseSliceSize;
    int32_t baseOffset; // of input and output alike: elements since the last aligned address
    float epsilon;

    template <int VectorSize>
    __device__ SliceSpan span(int64_t slice) const
    {
        return makeSliceSpan(slice * sliceSize, sliceSize, baseOffset, VectorSize);
    }

    // What all sums of a slice are relative to, unless one block holds it in registers.
    __device__ float shiftOf(SliceSpan const& span) const
    {
        float samples[kNumSamples];
        TRTCONV_UNROLL
        for (int sample = 0; sample < kNumSamples; ++sample)
        {
            samples[sample] = toFloat(input[span.begin + sampleIndex(sample, sliceSize)]);
        }
        return median(samples);
    }

    __device__ int64_t channelOf(int64_t slice) const
    {
        if (numSlices > INT32_MAX)
        {
            return slice % channels;
        }
        auto const index = static_cast<uint32_t>(slice);
        return index - channelDivisor.divide(index) * channelDivisor.value();
    }

    __device__ Affine affineOf(SliceSums const& sums, float shift, float scaleOfChannel, float biasOfChannel) const
    {
        return makeAffine(finishMoments(sums, inverseSliceSize, shift, epsilon), scaleOfChannel, biasOfChannel);
    }
};

// A vector and the piece that one instruction moves: left to itself, the compiler moves some vectors by elements.
template <typename T, int Size>
union VectorPiece
{
    using Piece = std::conditional_t<Size == 1, T, uint4>;

    Piece piece;
    Vector<T, Size> vector;
};

template <int Size, typename T>
__device__ Vector<T, Size> loadVector(T const* source)
{
    using Loaded = VectorPiece<T, Size>;
    Loaded loaded{*reinterpret_cast<typename Loaded::Piece const*>(source)};
    return loaded.vector;
}

template <typename T, int Size>
__device__ void storeMapped(T* target, Vector<T, Size> const& vector, Affine const& affine)
{
    VectorPiece<T, Size> mapped{};
    TRTCONV_UNROLL
    for (int i = 0; i < Size; ++i)
    {
        mapped.vector.elements[i] = fromFloat<T>(affine(toFloat(vector.elements[i])));
    }
    if constexpr (Size == 1)
    {
        *target = mapped.piece;
    }
    else
    {
        asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(target), "r"(mapped.piece.x), "r"(mapped.piece.y),
            "r"(mapped.piece.z), "r"(mapped.piece.w));
    }
}

template <typename T>
using TileSum = std::conditional_t<std::is_same_v<T, __half>, AnchoredSum, CompensatedSum>;

// A few vectors of a slice that one thread holds: those of them that exist come first.
template <typename T, int VectorSize, int NumVectors>
struct Tile
{
    static constexpr int kNumVectors = NumVectors;
    static constexpr int kSize = NumVectors * VectorSize;

    Vector<T, VectorSize> vectors[NumVectors];

    __device__ float operator()(int i) const { return toFloat(vectors[i / VectorSize].elements[i % VectorSize]); }

    __device__ void addVector(int k, TileSum<T>& total) const
    {
        TRTCONV_UNROLL
        for (int i = k * VectorSize; i < (k + 1) * VectorSize; ++i)
        {
            total.add(i, (*this)(i));
        }
    }

    // Sums of the first `numValid` vectors; `total` has added up all, those that do not exist as zeros.
    __device__ SliceSums sumsAround(TileSum<T> const& total, int numValid, float shift) const
    {
        auto const isValid = [&](int i) { return i / VectorSize < numValid; };
        return trtconv::sumsAround<TileSum<T>, kSize>(total, *this, isValid, numValid * VectorSize, shift);
    }

    __device__ SliceSums sumsAround(TileSum<T> const& total, float shift) const
    {
        return trtconv::sumsAround<TileSum<T>, kSize>(total, *this, [](int) { return true; }, kSize, shift);
    }

    __device__ SliceSums sums(int numValid, float shift) const { return sumsAround(total(), numValid, shift); }
    __device__ SliceSums sums(float shift) const { return sumsAround(total(), shift); }

private:
    __device__ TileSum<T> total() const
    {
        TileSum<T> total;
        TRTCONV_UNROLL
        for (int k = 0; k < NumVectors; ++k)
        {
            addVector(k, total);
        }
        return total;
    }
};

} // namespace trtconv::linear
