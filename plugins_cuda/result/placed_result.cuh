// Where the results of linear planes go that are the inside of larger images: interleaved if they are phases,
// upsampled, and with pads, which another kernel fills. The residual may be the inside of larger images too.
#pragma once

#include "result/fused_result.cuh"
#include "result/plane_place.h"

namespace trtconv
{

// Some neighbouring threads, which work together.
struct ThreadRun
{
    uint32_t thread;
    uint32_t count;
};

template <typename T>
struct Result<T, ResultKind::kPlaced>
{
    using Finish = SliceFinish;

    T* __restrict__ output;
    T const* __restrict__ residual; // not looked at unless the epilogue has one
    Epilogue<T> epilogue;
    bool isAffinePerImage; // scale and bias are [N, C]
    PlanePlaces places;
    PlacedRows rows;

    // Stores the results of a run, whose planes lie in shared memory one after another: neighbouring threads store
    // neighbouring vectors.
    __device__ void scatter(T const* elements, int64_t slice, PlaneRun const& run, SliceFinish const& finish,
        ThreadRun const& threads) const
    {
        withForm(epilogue,
            [&](auto form)
            {
                using Form = decltype(form);
                places.isSpread() ? scatterRows<Form, true>(elements, slice, run, finish, threads)
                                  : scatterRows<Form, false>(elements, slice, run, finish, threads);
            });
    }

    // Stores the result of a single element: of an edge, where there are no phases.
    __device__ void storeOne(int64_t slice, uint32_t number, float value, SliceFinish const& finish) const
    {
        float const added = epilogue.hasResidual ? toFloat(residualOf(slice)[places.residual.firstCopy(number)]) : 0;
        T const result = fromFloat<T>(finishedOne(epilogue.curve, finish.affine(value) + added, finish.parameter));
        uint32_t const copies = places.result.columnCopies.value();
        T* const target = outputOf(slice) + places.result.firstCopy(number);
        for (uint32_t copy = 0; copy < copies; ++copy)
        {
            storeColumn(target + copy, result);
        }
    }

    // Returns the run of the residual's elements that a run of `count` numbers needs, all phases of the rows included.
    __device__ T const* residualRun(int64_t slice, uint32_t number, uint32_t count, int64_t& length) const
    {
        uint32_t const begin = places.residual.firstCopy(number);
        uint32_t const last =
            places.residual.firstCopy(number + count - 1) + places.residual.rowPhaseStep(places.rowPhases - 1);
        length = int64_t{last} - begin + 1;
        return residualOf(slice) + begin;
    }

private:
    static constexpr int32_t kSize = kVectorBytes / sizeof(T);

    using Elements = Vector<T, kSize>;

    // A row of Y, and the run that it comes of.
    struct Row
    {
        PlacedRow place;
        PlaneRun run;
        T const* elements;
        T const* residual; // of column 0
        uint32_t numberOfRun; // of column 0, modulo 2^32
    };

    template <typename Form, bool IsSpread>
    __device__ void scatterRows(T const* elements, int64_t slice, PlaneRun const& run, SliceFinish const& finish,
        ThreadRun const& threads) const
    {
        T* const target = outputOf(slice);
        auto const past = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(target) % kVectorBytes / sizeof(T));
        uint32_t const numTasks = rows.numTasks(places, run);
        for (uint32_t task = threads.thread; task < numTasks; task += threads.count)
        {
            uint32_t window = 0;
            PlacedRow const place = rows.rowOf(places, run, task, window);
            T const* const added =
                residualOf(slice) + places.residual.rowPhaseStep(place.phase) + places.residual.firstCopy(place.number);
            Row const row{place, run, elements, added, place.number - run.first * places.columnPhases.value()};
            auto const misaligned = static_cast<int32_t>((place.place + place.begin + past) % kSize);
            TRTCONV_UNROLL
            for (uint32_t k = 0; k < PlacedRows::kTaskWindows; ++k)
            {
                auto const number = static_cast<int32_t>(window + k * rows.tasksOfRow.value());
                int32_t const column = place.begin - misaligned + number * kSize;
                storeWindow<Form, IsSpread>(target, row, column, finish);
            }
        }
    }

    // Stores a vector of a row, or as much of it as the row has.
    template <typename Form, bool IsSpread>
    __device__ void storeWindow(T* target, Row const& row, int32_t column, SliceFinish const& finish) const
    {
        if (column >= row.place.end)
        {
            return;
        }
        bool const isWhole = column >= row.place.begin && column + kSize <= row.place.end;
        uint4 const words = isWhole || (!IsSpread && isInRun(row, column))
            ? (IsSpread ? spreadWords(row, column) : neighbours(row, column))
            : endOfRow(row, column);
        uint4 const added = Form::kHasResidual && epilogue.hasResidual ? residuals<IsSpread>(row, column) : uint4{};
        uint4 const results =
            finished<Form, T>(words, added, [&](int) { return finish.affine; }, [&](int) { return finish.parameter; });
        T* const own = target + (static_cast<int32_t>(row.place.place) + column);
        if (isWhole)
        {
            return storeWords(own, results);
        }
        VectorPiece<T, kSize> const piece{results};
        TRTCONV_UNROLL
        for (int i = 0; i < kSize; ++i)
        {
            if (column + i >= row.place.begin && column + i < row.place.end)
            {
                own[i] = piece.vector.elements[i];
            }
        }
    }

    // Whether a vector of columns, some of which may belong to the rows beside it, is in the run.
    __device__ bool isInRun(Row const& row, int32_t column) const
    {
        auto const first = static_cast<int32_t>(row.numberOfRun + column);
        return first >= 0 && first + kSize <= static_cast<int32_t>(row.run.count);
    }

    // Returns the nearest column that the run has.
    __device__ static int32_t nearest(Row const& row, int32_t column)
    {
        return min(max(column, row.place.begin), row.place.end - 1);
    }

    // Returns a vector of which the run has some columns.
    __device__ uint4 endOfRow(Row const& row, int32_t column) const
    {
        Elements elements;
        TRTCONV_UNROLL
        for (int i = 0; i < kSize; ++i)
        {
            uint32_t const beyond = places.result.columnCopies.divide(nearest(row, column + i));
            elements.elements[i] = row.elements[sourceOf(places, row.run, row.place.phase, row.numberOfRun + beyond)];
        }
        return wordsOf(elements);
    }

    __device__ static uint4 wordsOf(Elements const& elements)
    {
        VectorPiece<T, kSize> piece{};
        piece.vector = elements;
        return piece.piece;
    }

    // Returns a vector of neighbours in shared memory, aligned or not.
    __device__ uint4 neighbours(Row const& row, int32_t column) const
    {
        T const* const first = row.elements + (row.place.phase * row.run.count + row.numberOfRun + column);
        if constexpr (sizeof(T) == sizeof(uint32_t))
        {
            auto const* const words = reinterpret_cast<uint32_t const*>(first);
            return make_uint4(words[0], words[1], words[2], words[3]);
        }
        else
        {
            bool const isOdd = reinterpret_cast<uintptr_t>(first) % sizeof(uint32_t) != 0;
            auto const* const words = reinterpret_cast<uint32_t const*>(first - isOdd);
            uint32_t const last = isOdd ? words[4] : 0;
            uint32_t const shift = isOdd ? 16 : 0;
            return make_uint4(__funnelshift_r(words[0], words[1], shift), __funnelshift_r(words[1], words[2], shift),
                __funnelshift_r(words[2], words[3], shift), __funnelshift_r(words[3], last, shift));
        }
    }

    // Returns a vector of columns that come of several phases, or are copies.
    __device__ uint4 spreadWords(Row const& row, int32_t column) const
    {
        uint32_t const copies = places.result.columnCopies.value();
        uint32_t const phases = places.columnPhases.value();
        uint32_t const beyond = places.result.columnCopies.divide(column);
        uint32_t const number = row.numberOfRun + beyond;
        uint32_t copy = column - beyond * copies;
        uint32_t pixel = places.columnPhases.divide(number);
        uint32_t phase = number - pixel * phases;
        T const* const plane = row.elements + row.place.phase * phases * row.run.count;
        Elements elements;
        TRTCONV_UNROLL
        for (int i = 0; i < kSize; ++i)
        {
            elements.elements[i] = plane[phase * row.run.count + pixel];
            bool const isNext = ++copy == copies;
            copy = isNext ? 0 : copy;
            phase += isNext ? 1 : 0;
            bool const isNextPixel = phase == phases;
            phase = isNextPixel ? 0 : phase;
            pixel += isNextPixel ? 1 : 0;
        }
        return wordsOf(elements);
    }

    template <bool IsSpread>
    __device__ uint4 residuals(Row const& row, int32_t column) const
    {
        Elements elements;
        TRTCONV_UNROLL
        for (int i = 0; i < kSize; ++i)
        {
            int32_t const own = nearest(row, column + i);
            elements.elements[i] = __ldg(row.residual + (IsSpread ? places.result.columnCopies.divide(own) : own));
        }
        return wordsOf(elements);
    }

    __device__ T* outputOf(int64_t slice) const { return output + slice * places.result.sliceSize; }

    __device__ T const* residualOf(int64_t slice) const { return residual + slice * places.residual.sliceSize; }

    // Stores a result in each of its rows.
    __device__ void storeColumn(T* target, T result) const
    {
        *target = result;
        for (uint32_t row = 1; row < places.result.rowCopies; ++row)
        {
            target += places.result.copyRowStep;
            *target = result;
        }
    }
};

} // namespace trtconv
