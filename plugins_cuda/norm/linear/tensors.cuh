// The tensors of one launch, typed, and how a kernel reads and writes them.
#pragma once

#include <type_traits>

#include "common/element_type.cuh"
#include "common/fast_divisor.h"
#include "norm/linear/choice.h"
#include "norm/statistics.h"
#include "result/fused_result.cuh"
#include "result/placed_result.cuh"

namespace trtconv::linear
{

// Scale and bias of a slice, as they were loaded. A group has those of its channels when it is stored.
template <typename Number>
struct SliceParameters
{
    Number scale;
    Number bias;

    __device__ SliceParameters<float> inFloat() const { return {toFloat(scale), toFloat(bias)}; }
};

// A slice is what has a mean of its own: a channel of an image, or a group of its channels.
template <typename T, ResultKind Kind>
struct Tensors
{
    using Finish = typename Result<T, Kind>::Finish;
    static constexpr bool kIsFused = Kind == ResultKind::kFused || Kind == ResultKind::kPlaced;

    T const* __restrict__ input;
    T const* __restrict__ scale;
    T const* __restrict__ bias;
    Result<T, Kind> result;
    int64_t numSlices;
    int64_t channels; // slices of an image
    int64_t sliceSize;
    FastDivisor<uint32_t> channelDivisor; // used where all slice numbers are below 2^31
    double inverseSliceSize;
    int32_t baseOffset; // elements between the last aligned address and the tensor, both of input and output
    float epsilon;

    // Returns the elements of a slice; where it lies in phases, their number, and where the first of them begins.
    template <int VectorSize>
    __device__ SliceSpan span(int64_t slice) const
    {
        if constexpr (Kind == ResultKind::kPlaced)
        {
            if (result.places.phases.value() != 1)
            {
                int64_t const image = (slice - channelOf(slice)) / channels;
                int64_t const planesBefore = slice + image * (result.places.phases.value() - 1) * channels;
                return wholeSliceSpan(planesBefore * result.places.planeSize, sliceSize / VectorSize);
            }
        }
        return makeSliceSpan(slice * sliceSize, sliceSize, baseOffset, VectorSize);
    }

    // kPlaced: returns how far a slice's phases are apart.
    __device__ int64_t phaseStep() const { return channels * result.places.planeSize; }

    // Returns what all sums of a slice are relative to, unless one block holds it in registers. Samples of one phase
    // serve all: if the others differ much from it, then so does the variance.
    __device__ float shiftOf(SliceSpan const& span) const
    {
        int64_t sampledSize = sliceSize;
        if constexpr (Kind == ResultKind::kPlaced)
        {
            sampledSize = result.places.planeSize;
        }
        float samples[kNumSamples];
        TRTCONV_UNROLL
        for (int sample = 0; sample < kNumSamples; ++sample)
        {
            samples[sample] = toFloat(input[span.begin + sampleIndex(sample, sampledSize)]);
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

    // Returns where a slice's scale and bias are.
    __device__ int64_t parameterIndexOf(int64_t slice) const
    {
        if constexpr (kIsFused)
        {
            return result.isAffinePerImage ? slice : channelOf(slice);
        }
        return channelOf(slice);
    }

    __device__ SliceParameters<T> parametersAt(int64_t index) const
    {
        if constexpr (Kind == ResultKind::kGrouped)
        {
            return {fromFloat<T>(1.0F), fromFloat<T>(0.0F)};
        }
        else
        {
            return {scale[index], bias[index]};
        }
    }

    // Returns what finishes the results of a slice.
    __device__ Finish finishOf(
        SliceSums const& sums, float shift, SliceParameters<float> const& parameters, int64_t slice) const
    {
        Affine const affine =
            makeAffine(finishMoments(sums, inverseSliceSize, shift, epsilon), parameters.scale, parameters.bias);
        if constexpr (Kind == ResultKind::kPlain)
        {
            return affine;
        }
        else if constexpr (kIsFused)
        {
            return {affine, result.epilogue.parameterAt(channelOf(slice))};
        }
        else
        {
            return groupFinish(slice, affine);
        }
    }

    // kGrouped
    __device__ GroupFinish groupFinish(int64_t slice, Affine const& affine) const
    {
        int64_t const group = channelOf(slice);
        int64_t const withParameters = result.isAffinePerImage ? slice : group;
        return {affine, slice * sliceSize, withParameters * result.runs.channelsPerGroup,
            group * result.runs.channelsPerGroup, nullptr};
    }
};

template <int Size, typename T>
__device__ Vector<T, Size> loadVector(T const* source)
{
    using Loaded = VectorPiece<T, Size>;
    Loaded loaded{*reinterpret_cast<typename Loaded::Piece const*>(source)};
    return loaded.vector;
}

template <typename T>
using TileSum = std::conditional_t<std::is_same_v<T, __half>, AnchoredSum, CompensatedSum>;

// A few vectors of a slice that one thread holds; those that exist come first.
template <typename T, int VectorSize, int NumVectors>
struct Tile
{
    static constexpr int kNumVectors = NumVectors;
    static constexpr int kSize = NumVectors * VectorSize;

    Vector<T, VectorSize> vectors[NumVectors];

    // Loads the first `numValid` vectors from element `first` on, `step` elements apart; the others become zeros.
    __device__ void load(T const* input, int64_t first, int64_t step, int32_t numValid)
    {
        TRTCONV_UNROLL
        for (int k = 0; k < NumVectors; ++k)
        {
            vectors[k] = {};
            if (k < numValid)
            {
                vectors[k] = loadVector<VectorSize>(input + first + k * step);
            }
        }
    }

    __device__ float operator()(int i) const { return toFloat(vectors[i / VectorSize].elements[i % VectorSize]); }

    __device__ void addVector(int k, TileSum<T>& total) const
    {
        TRTCONV_UNROLL
        for (int i = k * VectorSize; i < (k + 1) * VectorSize; ++i)
        {
            total.add(i, (*this)(i));
        }
    }

    // Returns the sums of the first `numValid` vectors; `total` has added up all, those that do not exist as zeros.
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
