// Where the elements of linear planes lie in larger images, of which they are the inside: interleaved if they are
// phases, upsampled to nearest neighbours, and shifted by pads.
//
// A slice has a plane for each phase, or one. Planes of the same phase of the rows make up wide rows: their elements
// lie side by side. A number counts the elements of such a wide plane of a slice; the place within the larger slice is
// linear in the numbers of the element, its row and its image, by steps modulo 2^32.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/fast_divisor.h"
#include "common/host_device.h"
#include "result/image_place.h"

namespace trtconv
{

struct PlanePlace
{
    FastDivisor<uint32_t> rowElements; // of a wide row
    FastDivisor<uint32_t> imageElements;
    uint32_t first; // the place of element 0
    uint32_t rowStep; // beyond that of its elements
    uint32_t imageStep; // beyond that of its rows
    FastDivisor<uint32_t> columnCopies;
    uint32_t rowCopies;
    uint32_t copyRowStep; // from a copy to that in the row below
    int64_t sliceSize; // elements of a slice of the larger images

    // Returns the place of an element of the first phase of the rows, or of its first copy.
    TRTCONV_HOST_DEVICE uint32_t firstCopy(uint32_t number) const
    {
        return first + number * columnCopies.value() + rowElements.divide(number) * rowStep
            + imageElements.divide(number) * imageStep;
    }

    // Returns what a phase of the rows adds to that.
    TRTCONV_HOST_DEVICE uint32_t rowPhaseStep(uint32_t rowPhase) const { return rowPhase * rowCopies * copyRowStep; }
};

// Returns the place of slices of `numImages` images each, not empty, whose rows and columns are those of all phases.
// A slice of the larger images has fewer than 2^31 elements.
inline PlanePlace makePlanePlace(PlaceAxis const& rows, PlaceAxis const& columns, int64_t numImages, uint32_t rowPhases)
{
    auto const rowElements = static_cast<uint32_t>(columns.size);
    auto const outputColumns = static_cast<uint32_t>(columns.outputSize());
    auto const rowFactor = static_cast<uint32_t>(rows.factor);
    auto const columnFactor = static_cast<uint32_t>(columns.factor);
    PlanePlace place{};
    place.rowElements = FastDivisor<uint32_t>(rowElements);
    place.imageElements = FastDivisor<uint32_t>(rowElements * (static_cast<uint32_t>(rows.size) / rowPhases));
    place.first = static_cast<uint32_t>(rows.padBegin) * outputColumns + static_cast<uint32_t>(columns.padBegin);
    place.rowStep = rowPhases * rowFactor * outputColumns - columnFactor * rowElements;
    place.imageStep = static_cast<uint32_t>(rows.padBegin + rows.padEnd) * outputColumns;
    place.columnCopies = FastDivisor<uint32_t>(columnFactor);
    place.rowCopies = rowFactor;
    place.copyRowStep = outputColumns;
    place.sliceSize = numImages * rows.outputSize() * columns.outputSize();
    return place;
}

// The phases of a slice's planes, and where a norm finds its residual and stores its results.
struct PlanePlaces
{
    PlanePlace result;
    PlanePlace residual; // one element for each of the input
    uint32_t rowPhases;
    FastDivisor<uint32_t> columnPhases;
    FastDivisor<uint32_t> phases; // of both
    int64_t planeSize; // elements of a phase's plane

    // Whether neighbours come of several phases, or are copies.
    TRTCONV_HOST_DEVICE bool isSpread() const { return columnPhases.value() != 1 || result.columnCopies.value() != 1; }
};

// A run of neighbouring elements of each plane of a slice.
struct PlaneRun
{
    uint32_t first; // element of a plane
    uint32_t count; // of elements of each plane
};

// The part of a row of Y that a run has.
struct PlacedRow
{
    uint32_t place; // of the row's first column inside, within the slice
    int32_t begin; // the columns that the run has
    int32_t end;
    uint32_t number; // of the row's first element
    uint32_t phase; // of the rows
};

// The rows of Y that come of runs, each divided into tasks: of `kTaskWindows` vectors that are aligned in memory.
struct PlacedRows
{
    static constexpr uint32_t kTaskWindows = 2;

    FastDivisor<uint32_t> tasksOfRow;
    FastDivisor<uint32_t> rowsOfRow; // of Y for each row of the planes: phases and copies

    PlacedRows() = default;

    // For vectors of `vectorSize` elements and runs of at most `maxCount`.
    PlacedRows(PlanePlaces const& places, uint32_t vectorSize, uint32_t maxCount)
        : rowsOfRow(places.rowPhases * places.result.rowCopies)
    {
        uint64_t const numbers =
            std::min<uint64_t>(places.result.rowElements.value(), uint64_t{maxCount} * places.columnPhases.value());
        uint64_t const windows = (numbers * places.result.columnCopies.value() + vectorSize - 1) / vectorSize + 1;
        tasksOfRow = FastDivisor<uint32_t>(static_cast<uint32_t>((windows + kTaskWindows - 1) / kTaskWindows));
    }

    TRTCONV_HOST_DEVICE uint32_t numTasks(PlanePlaces const& places, PlaneRun const& run) const
    {
        uint32_t const phases = places.columnPhases.value();
        uint32_t const first = places.result.rowElements.divide(run.first * phases);
        uint32_t const last = places.result.rowElements.divide((run.first + run.count) * phases - 1);
        return (last - first + 1) * rowsOfRow.value() * tasksOfRow.value();
    }

    // Returns the row of a task, whose first window is window `window` of it; the next is tasksOfRow later.
    TRTCONV_HOST_DEVICE PlacedRow rowOf(
        PlanePlaces const& places, PlaneRun const& run, uint32_t task, uint32_t& window) const
    {
        uint32_t const phases = places.columnPhases.value();
        uint32_t const rowElements = places.result.rowElements.value();
        uint32_t const copies = places.result.columnCopies.value();
        uint32_t const outputRow = tasksOfRow.divide(task);
        window = task - outputRow * tasksOfRow.value();
        uint32_t const row = rowsOfRow.divide(outputRow);
        uint32_t const below = outputRow - row * rowsOfRow.value();
        uint32_t const firstNumber = run.first * phases;
        uint32_t const number = (places.result.rowElements.divide(firstNumber) + row) * rowElements;
        uint32_t const begin = number < firstNumber ? firstNumber - number : 0;
        uint32_t const left = (run.first + run.count) * phases - number;
        uint32_t const end = left < rowElements ? left : rowElements;
        return {places.result.firstCopy(number) + below * places.result.copyRowStep,
            static_cast<int32_t>(begin * copies), static_cast<int32_t>(end * copies), number,
            below / places.result.rowCopies};
    }
};

// Returns where the value of a column of a row lies: `numberOfRun` is a number, counted from the run's first.
TRTCONV_HOST_DEVICE inline uint32_t sourceOf(
    PlanePlaces const& places, PlaneRun const& run, uint32_t rowPhase, uint32_t numberOfRun)
{
    uint32_t const pixel = places.columnPhases.divide(numberOfRun);
    uint32_t const phase = numberOfRun - pixel * places.columnPhases.value();
    return (rowPhase * places.columnPhases.value() + phase) * run.count + pixel;
}

} // namespace trtconv
