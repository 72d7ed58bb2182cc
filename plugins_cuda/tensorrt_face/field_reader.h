// Reads a plugin's fields, each checked for name, type and length, so that a wrong one is refused and not misread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "abi/tensor_types.h"

namespace trtconv
{

class FieldReader
{
public:
    // Throws PluginError for a null, nameless or repeated field.
    explicit FieldReader(nvinfer1::PluginFieldCollection const* given);

    float getFloat(std::string_view name);

    // Returns any number of integers, given as int32 (what TensorRT's ONNX parser makes of an INTS attribute) or int64.
    std::vector<int32_t> getIntegers(std::string_view name);

    // Throws PluginError if a field was given that no get asked for.
    void rejectUnread() const;

private:
    struct Entry
    {
        nvinfer1::PluginField field;
        bool isRead;
    };

    // Returns the field called `name`; `expected` says in a message what it should be.
    nvinfer1::PluginField const& take(std::string_view name, char const* expected);

    // Returns the names of all given fields, or of those that were asked for.
    std::string names(bool onlyRead) const;

    std::vector<Entry> mEntries;
};

} // namespace trtconv
