// Fields as a damaged engine or a careless caller hands them to a creator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "abi/tensor_types.h"
#include "sanitized/random_values.h"

namespace trtconv
{

using namespace nvinfer1;

// A field whose data lies in memory of its own, so that a read beyond it is seen.
struct OwnedField
{
    std::string name;
    std::vector<char> data;
    PluginField field;
};

class Fields
{
public:
    Fields(Random& random, PluginFieldCollection const& wanted)
    {
        bool const isGood = random.isOneIn(2);
        for (int32_t i = 0; i < wanted.nbFields; ++i)
        {
            if (isGood || !random.isOneIn(12))
            {
                add(random, wanted.fields[i], isGood);
            }
        }
        if (!isGood && random.isOneIn(8))
        {
            add(random, wanted.fields[random.below(wanted.nbFields)], isGood);
        }
        for (auto& owned : mOwned)
        {
            mFields.push_back(owned->field);
        }
        mCollection = {static_cast<int32_t>(mFields.size()), mFields.data()};
        if (!isGood && random.isOneIn(64))
        {
            mCollection = {random.isOneIn(2) ? -1 : INT32_MAX, random.isOneIn(2) ? nullptr : mFields.data()};
        }
    }

    PluginFieldCollection const& collection() const { return mCollection; }

private:
    void add(Random& random, PluginField const& wanted, bool isGood)
    {
        auto owned = std::make_unique<OwnedField>();
        owned->name = wanted.name;
        owned->data = bytesOf(random, wanted, isGood);
        size_t const width = widthOf(wanted.type);
        owned->field = {
            owned->name.c_str(), owned->data.data(), wanted.type, static_cast<int32_t>(owned->data.size() / width)};
        if (!isGood && random.isOneIn(10))
        {
            spoil(random, *owned);
        }
        mOwned.push_back(std::move(owned));
    }

    static void spoil(Random& random, OwnedField& owned)
    {
        PluginField& field = owned.field;
        switch (random.below(6))
        {
        case 0: field.name = nullptr; return;
        case 1: owned.name += "x"; return;
        case 2: field.data = nullptr; return;
        case 3:
            field.type = static_cast<PluginFieldType>(random.below(15));
            field.length = 0;
            return;
        case 4: field.length = -1; return;
        default: field.length = static_cast<int32_t>(1000 + random.below(INT32_MAX - 1000)); // beyond the data
        }
    }

    std::vector<std::unique_ptr<OwnedField>> mOwned;
    std::vector<PluginField> mFields;
    PluginFieldCollection mCollection{};
};

} // namespace trtconv
