#include "tensorrt_face/field_reader.h"

#include <algorithm>
#include <limits>

#include "common/plugin_error.h"

namespace trtconv
{

namespace
{

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

char const* nameOf(PluginFieldType type)
{
    switch (type)
    {
    case PluginFieldType::kFLOAT16: return "float16";
    case PluginFieldType::kFLOAT32: return "float32";
    case PluginFieldType::kFLOAT64: return "float64";
    case PluginFieldType::kINT8: return "int8";
    case PluginFieldType::kINT16: return "int16";
    case PluginFieldType::kINT32: return "int32";
    case PluginFieldType::kCHAR: return "char";
    case PluginFieldType::kDIMS: return "dims";
    case PluginFieldType::kUNKNOWN: return "unknown type";
    case PluginFieldType::kBF16: return "bfloat16";
    case PluginFieldType::kINT64: return "int64";
    case PluginFieldType::kFP8: return "float8";
    case PluginFieldType::kINT4: return "int4";
    }
    return "unlisted type";
}

constexpr int32_t kMaxFields = 64; // of a plugin; none has half as many
constexpr int32_t kMaxIntegers = 64; // of a field; none has more than two for each axis
constexpr int32_t kMaxCharacters = 256; // of a text

constexpr char const* kOneFloat = "float32 x 1";
constexpr char const* kIntegers = "int32 or int64";
constexpr char const* kText = "char";

std::string describe(PluginField const& field)
{
    return text(nameOf(field.type), " x ", field.length);
}

// Called before anything is read: what lies behind a field's data belongs to somebody else.
void requireAtMost(int32_t most, std::string_view name, PluginField const& field)
{
    require(field.length <= most, "field \"", name, "\": expected at most ", most, " values, given ", describe(field));
}

} // namespace

FieldReader::FieldReader(nvinfer1::PluginFieldCollection const* given)
{
    int32_t const count = given == nullptr ? 0 : given->nbFields;
    require(count >= 0 && count <= kMaxFields && (count == 0 || given->fields != nullptr), "expected fields, at most ",
        kMaxFields, ", given ", count);
    for (int32_t i = 0; i < count; ++i)
    {
        PluginField const& field = given->fields[i];
        require(field.name != nullptr, "field ", i, " has no name");
        bool const isRepeated = std::any_of(mEntries.begin(), mEntries.end(),
            [&](Entry const& entry) { return std::string_view(entry.field.name) == field.name; });
        require(!isRepeated, "field \"", field.name, "\" is given twice");
        mEntries.push_back({field, false});
    }
}

float FieldReader::getFloat(std::string_view name)
{
    PluginField const& field = take(name, kOneFloat);
    require(field.type == PluginFieldType::kFLOAT32 && field.length == 1, "field \"", name, "\": expected ", kOneFloat,
        ", given ", describe(field));
    return *static_cast<float const*>(field.data);
}

std::vector<int32_t> FieldReader::getIntegers(std::string_view name)
{
    PluginField const& field = take(name, kIntegers);
    bool const isInt64 = field.type == PluginFieldType::kINT64;
    require((isInt64 || field.type == PluginFieldType::kINT32) && field.length >= 0, "field \"", name, "\": expected ",
        kIntegers, ", given ", describe(field));
    requireAtMost(kMaxIntegers, name, field);
    std::vector<int32_t> values;
    for (int32_t i = 0; i < field.length; ++i)
    {
        int64_t const value =
            isInt64 ? static_cast<int64_t const*>(field.data)[i] : static_cast<int32_t const*>(field.data)[i];
        require(value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max(),
            "field \"", name, "\": expected values of 32 bits, given ", value);
        values.push_back(static_cast<int32_t>(value));
    }
    return values;
}

float FieldReader::getFloat(std::string_view name, float absent)
{
    return isGiven(name) ? getFloat(name) : absent;
}

int32_t FieldReader::getInteger(std::string_view name, int32_t absent)
{
    if (!isGiven(name))
    {
        return absent;
    }
    std::vector<int32_t> const values = getIntegers(name);
    require(values.size() == 1, "field \"", name, "\": expected one integer, given ", values.size());
    return values.front();
}

std::vector<int32_t> FieldReader::getIntegers(std::string_view name, std::vector<int32_t> const& absent)
{
    return isGiven(name) ? getIntegers(name) : absent;
}

std::string FieldReader::getText(std::string_view name, std::string const& absent)
{
    if (!isGiven(name))
    {
        return absent;
    }
    PluginField const& field = take(name, kText);
    require(field.type == PluginFieldType::kCHAR && field.length >= 0, "field \"", name, "\": expected ", kText,
        ", given ", describe(field));
    requireAtMost(kMaxCharacters, name, field);
    std::string_view const all(static_cast<char const*>(field.data), static_cast<size_t>(field.length));
    return std::string(all.substr(0, all.find('\0')));
}

void FieldReader::rejectUnread() const
{
    for (Entry const& entry : mEntries)
    {
        require(entry.isRead, "unknown field \"", entry.field.name, "\", given ", describe(entry.field),
            "; expected fields: ", names(true));
    }
}

bool FieldReader::isGiven(std::string_view name) const
{
    return std::any_of(mEntries.begin(), mEntries.end(), [&](Entry const& entry) { return entry.field.name == name; });
}

PluginField const& FieldReader::take(std::string_view name, char const* expected)
{
    for (Entry& entry : mEntries)
    {
        if (entry.field.name == name)
        {
            require(entry.field.data != nullptr || entry.field.length == 0, "field \"", name, "\" has no data");
            entry.isRead = true;
            return entry.field;
        }
    }
    throw PluginError(text("field \"", name, "\" is missing, expected ", expected, "; given fields: ", names(false)));
}

std::string FieldReader::names(bool onlyRead) const
{
    std::string result;
    for (Entry const& entry : mEntries)
    {
        if (entry.isRead || !onlyRead)
        {
            result += (result.empty() ? "" : ", ") + std::string(entry.field.name);
        }
    }
    return result.empty() ? "none" : result;
}

} // namespace trtconv
