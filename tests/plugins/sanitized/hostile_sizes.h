// Sizes as TensorRT hands them to a plugin before they are known.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "abi/dimension_expressions.h"
#include "sanitized/findings.h"

namespace trtconv
{

using namespace nvinfer1;

// A size that is constant, or known only at run time.
struct FuzzSize : apiv::VDimensionExpr, IDimensionExpr
{
    FuzzSize(int64_t size, bool known)
        : value(size)
        , isKnown(known)
    {
        mImpl = this;
    }
    bool isConstant() const override { return isKnown; }
    int64_t getConstantValue() const override { return isKnown ? value : INT32_MIN; } // as TensorRT documents it
    bool isSizeTensor() const override { return false; }

    int64_t value;
    bool isKnown;
};

// Computes with sizes as TensorRT does; the plugin must not ask for what overflows.
struct FuzzBuilder : apiv::VExprBuilder, IExprBuilder
{
    FuzzBuilder() { mImpl = this; }
    IDimensionExpr const* constant(int64_t value) override { return make(value, true); }
    IDimensionExpr const* operation(
        DimensionOperation op, IDimensionExpr const& left, IDimensionExpr const& right) override
    {
        auto const& first = static_cast<FuzzSize const&>(left);
        auto const& second = static_cast<FuzzSize const&>(right);
        if (!first.isKnown || !second.isKnown)
        {
            return make(0, false);
        }
        int64_t result = 0;
        bool const overflows = op == DimensionOperation::kSUM
            ? __builtin_add_overflow(first.value, second.value, &result)
            : __builtin_mul_overflow(first.value, second.value, &result);
        expect(!overflows, "a size beyond 64 bits");
        return make(result, true);
    }
    IDimensionExpr const* declareSizeTensor(int32_t, IDimensionExpr const&, IDimensionExpr const&) override
    {
        return nullptr;
    }
    IDimensionExpr const* make(int64_t value, bool isKnown)
    {
        sizes.push_back(std::make_unique<FuzzSize>(value, isKnown));
        return sizes.back().get();
    }

    std::vector<std::unique_ptr<FuzzSize>> sizes;
};

} // namespace trtconv
