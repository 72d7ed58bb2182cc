// Values of the kinds that go wrong: extreme sizes, odd types, fields of the wrong length.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

#include "abi/tensor_types.h"

namespace trtconv
{

inline int64_t sumOrMost(int64_t left, int64_t right)
{
    int64_t result = 0;
    return __builtin_add_overflow(left, right, &result) ? std::numeric_limits<int64_t>::max() : result;
}

inline int64_t productOrMost(int64_t left, int64_t right)
{
    int64_t result = 0;
    return __builtin_mul_overflow(left, right, &result) ? std::numeric_limits<int64_t>::max() : result;
}

// Numbers that only the seed and the iteration decide (splitmix64).
class Random
{
public:
    Random(int64_t seed, int64_t iteration)
        : mState(static_cast<uint64_t>(seed) * 0x9e3779b97f4a7c15U
              ^ static_cast<uint64_t>(iteration) * 0xd1342543de82ef95U)
    {
    }

    uint64_t bits()
    {
        mState += 0x9e3779b97f4a7c15U;
        uint64_t mixed = (mState ^ (mState >> 30)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
        return mixed ^ (mixed >> 31);
    }

    int64_t below(int64_t end) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(end)); }
    bool isOneIn(int64_t number) { return below(number) == 0; }

    // Any integer, those near powers of two most of the time.
    int64_t integer()
    {
        if (isOneIn(8))
        {
            return static_cast<int64_t>(bits());
        }
        uint64_t const power = uint64_t{1} << below(64);
        auto const near = static_cast<int64_t>(power + bits() % 5 - 2);
        return isOneIn(8) ? static_cast<int64_t>(~static_cast<uint64_t>(near)) : near;
    }

    // The size of an axis: small most of the time, so that whole shapes are sometimes right.
    int64_t size()
    {
        switch (below(64))
        {
        case 0: return integer();
        case 1: return 0;
        case 2:
        case 3: return int64_t{1} << below(32);
        case 4:
        case 5: return below(1 << 20);
        default: return 4 + below(70);
        }
    }

    // A number of at least `least`, small but for one in `rarity`.
    int64_t smallOrAny(int64_t least, int64_t rarity) { return isOneIn(rarity) ? integer() : least + below(3); }

    // Dimensions beyond the rank are garbage, as TensorRT may leave them.
    nvinfer1::Dims dims(int32_t rank)
    {
        nvinfer1::Dims result{rank, {}};
        for (int64_t& size : result.d)
        {
            size = this->size();
        }
        return result;
    }

    nvinfer1::DataType type() { return static_cast<nvinfer1::DataType>(isOneIn(3) ? below(12) : below(2)); }

    nvinfer1::TensorFormat format()
    {
        return isOneIn(8) ? static_cast<nvinfer1::TensorFormat>(below(16))
            : isOneIn(2)  ? nvinfer1::TensorFormat::kLINEAR
                          : nvinfer1::TensorFormat::kHWC8;
    }

    // An address that is never read; null now and then, and not always aligned.
    void* address()
    {
        uint64_t const offset = isOneIn(4) ? bits() % 256 : 0;
        return isOneIn(32) ? nullptr : reinterpret_cast<void*>(uintptr_t{1 << 20} + offset);
    }

    HostDevice device()
    {
        constexpr HostDevice kDevices[]{{132, 9, 232448, 12040}, {148, 10, 232448, 13000}, {170, 12, 101376, 13000},
            {108, 8, 166912, 12020}, {40, 7, 65536, 12000}, {1, 7, 65536, 12000}, {0, 0, 0, 0}};
        return kDevices[below(7)];
    }

private:
    uint64_t mState;
};

inline size_t widthOf(nvinfer1::PluginFieldType type)
{
    switch (type)
    {
    case nvinfer1::PluginFieldType::kFLOAT32:
    case nvinfer1::PluginFieldType::kINT32: return 4;
    case nvinfer1::PluginFieldType::kINT64:
    case nvinfer1::PluginFieldType::kFLOAT64: return 8;
    default: return 1;
    }
}

template <typename Value>
std::vector<char> bytesOf(std::vector<Value> const& values)
{
    std::vector<char> bytes(values.size() * sizeof(Value));
    std::copy_n(reinterpret_cast<char const*>(values.data()), bytes.size(), bytes.data());
    return bytes;
}

// Returns the data of a field: what its name stands for, or if it need not be good, anything of its type.
inline std::vector<char> bytesOf(Random& random, nvinfer1::PluginField const& wanted, bool isGood)
{
    std::string const name = wanted.name;
    auto const pick = [&](std::vector<std::string> const& names)
    {
        std::string const& chosen = names[static_cast<size_t>(random.below(static_cast<int64_t>(names.size())))];
        return std::vector<char>(chosen.begin(), chosen.end());
    };
    bool const isOdd = !isGood && random.isOneIn(6);
    if (wanted.type == nvinfer1::PluginFieldType::kFLOAT32)
    {
        auto const odd = static_cast<uint32_t>(random.bits());
        float value = 0.25F;
        if (isOdd)
        {
            std::memcpy(&value, &odd, sizeof(value));
        }
        return bytesOf(std::vector<float>(isOdd ? static_cast<size_t>(random.below(3)) : 1, value));
    }
    if (wanted.type == nvinfer1::PluginFieldType::kCHAR)
    {
        return isOdd               ? std::vector<char>(static_cast<size_t>(random.below(400)), 'x')
            : name == "activation" ? pick({"none", "relu", "leaky_relu", "prelu", "silu", "elu", "tanh"})
                                   : pick({"reflect", "edge", "zero"});
    }
    // The spatial axes of one plugin agree when the fields are good: two of them, or all axes of a rank of 4.
    auto const count =
        static_cast<size_t>(name == "rank" || name == "to" || name == "groups" || name == "phases" || name == "crop" ? 1
                : isOdd                               ? random.below(40)
                : random.isOneIn(2) && name != "pads" ? 1
                : name == "upsample"                  ? (random.isOneIn(2) ? 2 : 4)
                                                      : (random.isOneIn(2) ? 4 : 8));
    std::vector<int32_t> values(count);
    for (int32_t& value : values)
    {
        value = static_cast<int32_t>(isOdd || (!isGood && random.isOneIn(20)) ? random.integer()
                : name == "rank"                                              ? 1 + random.below(8)
                : name == "to"        ? (random.isOneIn(2) ? 0 : random.below(17))
                : name == "groups"    ? random.below(4)
                : name == "phases"    ? (random.isOneIn(4) ? 2 : 1)
                : name == "crop"      ? (random.isOneIn(16) ? 1 : 0)
                : name == "upsample"  ? 1 + random.below(3)
                : random.isOneIn(300) ? random.below(INT32_MAX)
                                      : random.below(4));
    }
    return bytesOf(values);
}

} // namespace trtconv
