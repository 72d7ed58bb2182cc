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

    // These return `absent` where the field is not given: an engine of an older version may lack it.
    float getFloat(std::string_view name, float absent);
    int32_t getInteger(std::string_view name, int32_t absent);
    std::vector<int32_t> getIntegers(std::string_view name, std::vector<int32_t> const& absent);
    // The terminating zero may be counted or not.
    std::string getText(std::string_view name, std::string const& absent);

    // Throws PluginError if a field was given that no get asked for.
    void rejectUnread() const;

private:
    struct Entry
    {
        nvinfer1::PluginField field;
        bool isRead;
    };

    bool isGiven(std::string_view name) const;

    // Returns the field called `name`; `expected` says in a message what it should be.
    nvinfer1::PluginField const& take(std::string_view name, char const* expected);

    // Returns the names of all given fields, or of those that were asked for.
    std::string names(bool onlyRead) const;

    std::vector<Entry> mEntries;
};

} // namespace trtconv
