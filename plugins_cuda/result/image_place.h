// Where the vectors of images lie in larger images, of which they are the inside: upsampled to nearest neighbours, and
// shifted by pads.
#pragma once

#include <cstdint>

#include "common/fast_divisor.h"
#include "common/host_device.h"

namespace trtconv
{

// Rows or columns: `size` inside, each repeated `factor` times, and pads around them.
struct PlaceAxis
{
    int32_t size;
    int32_t factor;
    int32_t padBegin;
    int32_t padEnd;

    TRTCONV_HOST_DEVICE int32_t upsampledSize() const { return size * factor; }
    TRTCONV_HOST_DEVICE int32_t outputSize() const { return padBegin + size * factor + padEnd; }
};

// The place of each vector of channels of the inside. A vector, its pixel, its row (over all images) and its image are
// numbers that count on; those of the larger images are linear in them, by steps modulo 2^32.
struct ImagePlace
{
    FastDivisor<uint32_t> pixelVectors;
    FastDivisor<uint32_t> rowVectors;
    FastDivisor<uint32_t> imageVectors;
    uint32_t first; // the place of vector 0
    uint32_t pixelStep; // beyond that of its vectors
    uint32_t rowStep; // beyond that of its pixels
    uint32_t imageStep; // beyond that of its rows
    int32_t rowCopies;
    int32_t columnCopies;
    uint32_t copyRowStep; // from a copy to that in the row below

    TRTCONV_HOST_DEVICE bool hasOneCopy() const { return rowCopies == 1 && columnCopies == 1; }

    // Returns the place of a vector, or of its first copy.
    TRTCONV_HOST_DEVICE uint32_t firstCopy(uint32_t vector) const
    {
        return first + vector + pixelVectors.divide(vector) * pixelStep + rowVectors.divide(vector) * rowStep
            + imageVectors.divide(vector) * imageStep;
    }
};

// Returns the place of images that are not empty; all numbers of vectors, there too, are below 2^31.
inline ImagePlace makeImagePlace(PlaceAxis const& rows, PlaceAxis const& columns, int64_t vectorsPerPixel)
{
    auto const pixelVectors = static_cast<uint32_t>(vectorsPerPixel);
    uint32_t const rowVectors = pixelVectors * static_cast<uint32_t>(columns.size);
    uint32_t const outputRowVectors = pixelVectors * static_cast<uint32_t>(columns.outputSize());
    auto const rowFactor = static_cast<uint32_t>(rows.factor);
    auto const columnFactor = static_cast<uint32_t>(columns.factor);
    ImagePlace place{};
    place.pixelVectors = FastDivisor<uint32_t>(pixelVectors);
    place.rowVectors = FastDivisor<uint32_t>(rowVectors);
    place.imageVectors = FastDivisor<uint32_t>(rowVectors * static_cast<uint32_t>(rows.size));
    place.first = static_cast<uint32_t>(rows.padBegin) * outputRowVectors
        + static_cast<uint32_t>(columns.padBegin) * pixelVectors;
    place.pixelStep = (columnFactor - 1) * pixelVectors;
    place.rowStep = rowFactor * outputRowVectors - columnFactor * rowVectors;
    place.imageStep = static_cast<uint32_t>(rows.padBegin + rows.padEnd) * outputRowVectors;
    place.rowCopies = rows.factor;
    place.columnCopies = columns.factor;
    place.copyRowStep = outputRowVectors;
    return place;
}

// Where an image's norm finds its residual, one vector for each of the input, and stores its results.
struct ImagePlaces
{
    ImagePlace result;
    ImagePlace residual;
};

// Calls body(vector) for each copy of a vector.
template <typename Body>
TRTCONV_HOST_DEVICE void forEachCopy(ImagePlace const& place, uint32_t vector, Body const& body)
{
    uint32_t rowBegin = place.firstCopy(vector);
    for (int32_t row = 0; row < place.rowCopies; ++row)
    {
        uint32_t copy = rowBegin;
        for (int32_t column = 0; column < place.columnCopies; ++column)
        {
            body(copy);
            copy += place.pixelVectors.value();
        }
        rowBegin += place.copyRowStep;
    }
}

} // namespace trtconv
