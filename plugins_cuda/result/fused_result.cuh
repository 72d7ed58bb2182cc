// Where the results of a linear tensor go, with an epilogue; and, where channels are normalised in groups, with an
// affine for each run of a channel.
#pragma once

#include "common/fast_divisor.h"
#include "result/residual_tile.cuh"
#include "result/result.cuh"

namespace trtconv
{

// What finishes the results of a slice, or of a channel within it.
struct alignas(16) SliceFinish
{
    Affine affine;
    float parameter; // of the epilogue's curve
};

// What finishes the results of a group of channels: the affine of a scale of 1 and a bias of 0, and where they lie.
struct GroupFinish
{
    Affine affine;
    int64_t begin; // the group's first element
    int64_t firstParameter; // of its channels' scales and biases
    int64_t firstChannel;
    SliceFinish const* table; // what finishes each channel, in shared memory; or null
};

// What a channel of a group has of its own.
struct ChannelParameters
{
    float scale;
    float bias;
    float parameter; // of the epilogue's curve
};

// The channels of a group, one after another in memory.
template <typename T>
struct ChannelRuns
{
    T const* __restrict__ scale;
    T const* __restrict__ bias;
    int64_t channelsPerGroup;
    int64_t channelSize; // elements of a channel
    FastDivisor<uint32_t> divisor; // by channelSize, used where a group has fewer than 2^31 elements

    __device__ int64_t channelOf(int64_t elementOfGroup) const
    {
        return channelsPerGroup * channelSize > INT32_MAX ? elementOfGroup / channelSize
                                                          : divisor.divide(static_cast<uint32_t>(elementOfGroup));
    }

    __device__ SliceFinish finishAt(int64_t elementOfGroup, GroupFinish const& group, Epilogue<T> const& epilogue) const
    {
        int64_t const channel = channelOf(elementOfGroup);
        return group.table != nullptr ? group.table[channel] : finishOf(channel, group, epilogue);
    }

    __device__ SliceFinish finishOf(int64_t channel, GroupFinish const& group, Epilogue<T> const& epilogue) const
    {
        return finishOf(parametersOf(channel, group, epilogue), group);
    }

    __device__ ChannelParameters parametersOf(
        int64_t channel, GroupFinish const& group, Epilogue<T> const& epilogue) const
    {
        return {toFloat(scale[group.firstParameter + channel]), toFloat(bias[group.firstParameter + channel]),
            epilogue.parameterAt(group.firstChannel + channel)};
    }

    __device__ static SliceFinish finishOf(ChannelParameters const& channel, GroupFinish const& group)
    {
        return {{group.affine.mean, group.affine.factor * channel.scale,
                    fmaf(group.affine.offset, channel.scale, channel.bias)},
            channel.parameter};
    }
};

// With an epilogue: kFused or kGrouped.
template <typename T, ResultKind Kind>
struct Result
{
    static constexpr bool kIsGrouped = Kind == ResultKind::kGrouped;
    using Finish = std::conditional_t<kIsGrouped, GroupFinish, SliceFinish>;

    template <int Size, int Count, int Held = kMostHeldResiduals>
    using Residuals = ResidualTile<Count, Held>;

    T* __restrict__ output;
    T const* __restrict__ residual; // like output; not looked at unless the epilogue has one
    Epilogue<T> epilogue;
    bool isAffinePerImage; // scale and bias are [N, C]
    ChannelRuns<T> runs; // kGrouped
    int64_t origin; // the tensor's element at `output`

    __device__ Result operator+(int64_t numElements) const
    {
        return {output + numElements, residual + numElements, epilogue, isAffinePerImage, runs, origin + numElements};
    }

    // Asks for the residuals of those vectors that exist; called early, and `load` before the last wait.
    template <int Count, int Held, typename ElementAt, typename Exists>
    __device__ void request(
        ResidualTile<Count, Held>& residuals, ElementAt const& elementAt, Exists const& exists) const
    {
        residuals.request(epilogue.hasResidual, [&](int k) { return residual + elementAt(k); }, exists);
    }

    template <int Count, int Held, typename ElementAt, typename Exists>
    __device__ void load(ResidualTile<Count, Held>& residuals, ElementAt const& elementAt, Exists const& exists) const
    {
        residuals.load(epilogue.hasResidual, [&](int k) { return residual + elementAt(k); }, exists);
    }

    // Loads the first residuals, whether they were asked for or not.
    template <int Count, int Held, typename ElementAt, typename Exists>
    __device__ void loadNow(
        ResidualTile<Count, Held>& residuals, ElementAt const& elementAt, Exists const& exists) const
    {
        residuals.loadNow(epilogue.hasResidual, [&](int k) { return residual + elementAt(k); }, exists);
    }

    // Stores the results of those of `Count` vectors that exist: vectorAt(k) at elementAt(k), both aligned. A vector
    // lies within one channel.
    template <int Size, int Count, int Held, typename ElementAt, typename VectorAt, typename Exists, typename AnyFinish>
    __device__ void storeAll(ResidualTile<Count, Held>& residuals, ElementAt const& elementAt, VectorAt const& vectorAt,
        Exists const& exists, AnyFinish const& finish) const
    {
        if constexpr (Size == 1)
        {
            TRTCONV_UNROLL
            for (int k = 0; k < Count; ++k)
            {
                if (exists(k))
                {
                    storeOne(elementAt(k), toFloat(vectorAt(k).elements[0]), finish);
                }
            }
        }
        else
        {
            auto const residualAt = [&](int k) { return residual + elementAt(k); };
            withForm(epilogue,
                [&](auto form)
                {
                    TRTCONV_UNROLL
                    for (int k = 0; k < Count; ++k)
                    {
                        auto const& own =
                            residuals.take(k, decltype(form)::kHasResidual && epilogue.hasResidual, residualAt, exists);
                        if (exists(k))
                        {
                            store<decltype(form)>(elementAt(k), wordsOf(vectorAt(k)), own, finish);
                        }
                    }
                });
        }
    }

    __device__ int64_t channelOf(int64_t element, GroupFinish const& finish) const
    {
        return runs.channelOf(origin + element - finish.begin);
    }

    // Stores the result of a single element: of an edge.
    template <typename AnyFinish>
    __device__ void storeOne(int64_t element, float value, AnyFinish const& finish) const
    {
        SliceFinish const own = finishAt(element, finish);
        float const added = epilogue.hasResidual ? toFloat(residual[element]) : 0.0F;
        output[element] = fromFloat<T>(finishedOne(epilogue.curve, own.affine(value) + added, own.parameter));
    }

private:
    __device__ static uint4 wordsOf(uint4 words) { return words; }

    template <int Size>
    __device__ static uint4 wordsOf(Vector<T, Size> const& vector)
    {
        VectorPiece<T, Size> piece{};
        piece.vector = vector;
        return piece.piece;
    }

    template <typename Form, typename AnyFinish>
    __device__ void store(int64_t element, uint4 words, uint4 added, AnyFinish const& finish) const
    {
        SliceFinish const own = finishAt(element, finish);
        uint4 const result =
            finished<Form, T>(words, added, [&](int) { return own.affine; }, [&](int) { return own.parameter; });
        storeWords(output + element, result);
    }

    __device__ SliceFinish finishAt(int64_t /*element*/, SliceFinish const& finish) const { return finish; }

    __device__ SliceFinish finishAt(int64_t element, GroupFinish const& finish) const
    {
        return runs.finishAt(origin + element - finish.begin, finish, epilogue);
    }
};

} // namespace trtconv
