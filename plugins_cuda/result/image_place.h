// Where the pixels of images go that are upsampled to nearest neighbours and then padded: the map of output_map.h, seen
// from the input. Every pixel of the output is the target of one pixel of the input, which those are that hold an image
// in registers.
#pragma once

#include <cstdint>

#include "result/output_map.h"

namespace trtconv
{

// Rows or columns.
struct PlaceAxis
{
    FastDivisor<uint32_t> size; // of the input
    int32_t factor;
    int32_t padBegin;
    int32_t padEnd;

    TRTCONV_HOST_DEVICE int32_t upsampledSize() const { return static_cast<int32_t>(size.value()) * factor; }
    TRTCONV_HOST_DEVICE int32_t outputSize() const { return padBegin + upsampledSize() + padEnd; }

    // Whether no pad is made of this input: neither is it mirrored nor at an end.
    TRTCONV_HOST_DEVICE bool isInner(int32_t source) const
    {
        int32_t const first = source * factor;
        return first > padBegin && first + factor + padEnd < upsampledSize();
    }

    // Calls body(target, isValue) for each output of an input; where it is no value, the output is zero.
    template <typename Body>
    TRTCONV_HOST_DEVICE void forEachTarget(int32_t source, PadMode mode, Body const& body) const
    {
        int32_t const last = upsampledSize() - 1;
        bool const isReflected = mode == PadMode::kReflect;
        for (int32_t upsampled = source * factor; upsampled < (source + 1) * factor; ++upsampled)
        {
            body(padBegin + upsampled, true);
            if (isReflected && upsampled > 0 && upsampled <= padBegin)
            {
                body(padBegin - upsampled, true);
            }
            if (isReflected && upsampled < last && upsampled >= last - padEnd)
            {
                body(padBegin + 2 * last - upsampled, true);
            }
        }
        bool const isFirst = !isReflected && source == 0;
        bool const isLast = !isReflected && source == static_cast<int32_t>(size.value()) - 1;
        for (int32_t target = 0; isFirst && target < padBegin; ++target)
        {
            body(target, mode == PadMode::kEdge);
        }
        for (int32_t target = padBegin + last + 1; isLast && target < outputSize(); ++target)
        {
            body(target, mode == PadMode::kEdge);
        }
    }
};

// Images of vectors of channels.
struct ImagePlace
{
    PlaceAxis rows;
    PlaceAxis columns;
    FastDivisor<uint32_t> vectorsPerPixel;
    PadMode mode;

    TRTCONV_HOST_DEVICE uint32_t outputVector(uint32_t image, int32_t row, int32_t column, uint32_t vectorOfPixel) const
    {
        uint32_t const outputRow = image * static_cast<uint32_t>(rows.outputSize()) + static_cast<uint32_t>(row);
        uint32_t const pixel = outputRow * static_cast<uint32_t>(columns.outputSize()) + static_cast<uint32_t>(column);
        return pixel * vectorsPerPixel.value() + vectorOfPixel;
    }
};

// A vector of the input: where it lies in its image.
struct VectorPlace
{
    uint32_t image;
    int32_t row;
    int32_t column;
    uint32_t vectorOfPixel;

    TRTCONV_HOST_DEVICE VectorPlace(ImagePlace const& place, uint32_t vector)
    {
        uint32_t const pixel = place.vectorsPerPixel.divide(vector);
        uint32_t const anyRow = place.columns.size.divide(pixel);
        image = place.rows.size.divide(anyRow);
        row = static_cast<int32_t>(anyRow - image * place.rows.size.value());
        column = static_cast<int32_t>(pixel - anyRow * place.columns.size.value());
        vectorOfPixel = vector - pixel * place.vectorsPerPixel.value();
    }
};

// Calls body(vector, isValue) for each vector of the output that is made of one of the input, in or beside the pads.
template <typename Body>
TRTCONV_HOST_DEVICE void forEachTarget(ImagePlace const& place, VectorPlace const& source, Body const& body)
{
    place.rows.forEachTarget(source.row, place.mode,
        [&](int32_t row, bool isValueInRow)
        {
            place.columns.forEachTarget(source.column, place.mode,
                [&](int32_t column, bool isValue)
                {
                    body(place.outputVector(source.image, row, column, source.vectorOfPixel), isValueInRow && isValue);
                });
        });
}

// The same for a source of which no pad is made.
template <typename Body>
TRTCONV_HOST_DEVICE void forEachCopy(ImagePlace const& place, VectorPlace const& source, Body const& body)
{
    int32_t const row = place.rows.padBegin + source.row * place.rows.factor;
    int32_t const column = place.columns.padBegin + source.column * place.columns.factor;
    uint32_t rowBegin = place.outputVector(source.image, row, column, source.vectorOfPixel);
    for (int32_t i = 0; i < place.rows.factor; ++i)
    {
        uint32_t target = rowBegin;
        for (int32_t k = 0; k < place.columns.factor; ++k)
        {
            body(target);
            target += place.vectorsPerPixel.value();
        }
        rowBegin += static_cast<uint32_t>(place.columns.outputSize()) * place.vectorsPerPixel.value();
    }
}

} // namespace trtconv
