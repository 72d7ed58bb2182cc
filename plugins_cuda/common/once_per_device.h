// What is worth asking for once for each CUDA device, not for each launch.
#pragma once

#include <map>
#include <mutex>

#include "common/device.h"

namespace trtconv
{

// Must be made with `new` and never destroyed: threads may launch until the process ends.
template <typename Value>
class OncePerDevice
{
public:
    // `make` is called once for each device, while that is the current one.
    explicit OncePerDevice(Value (*make)())
        : mMake(make)
    {
    }

    // Returns the value of the current device; it is valid as long as this.
    Value const& get()
    {
        int device = 0;
        checkCuda(cudaGetDevice(&device), "cudaGetDevice");
        std::lock_guard<std::mutex> const lock(mMutex);
        auto found = mValues.find(device);
        if (found == mValues.end())
        {
            found = mValues.emplace(device, mMake()).first;
        }
        return found->second;
    }

private:
    Value (*mMake)();
    std::mutex mMutex;
    std::map<int, Value> mValues;
};

} // namespace trtconv
