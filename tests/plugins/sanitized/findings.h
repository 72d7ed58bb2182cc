// What a run has done, and how a finding ends it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace trtconv
{

struct Counts
{
    int64_t collections = 0;
    int64_t created = 0;
    int64_t calls = 0;
    int64_t taken = 0; // calls that were not refused
    int64_t enqueued = 0;
    int64_t launcherCalls = 0;
    int64_t launcherTaken = 0;
};

inline Counts counts;
inline int64_t iteration = 0;
inline int64_t seed = 0;

inline void reportPlace()
{
    std::fprintf(stderr, "found at iteration %lld of seed %lld\n", static_cast<long long>(iteration),
        static_cast<long long>(seed));
}

inline void expect(bool isRight, char const* what)
{
    if (!isRight)
    {
        std::fprintf(stderr, "wrong: %s\n", what);
        reportPlace();
        std::abort();
    }
}

inline bool took(int32_t status)
{
    ++counts.calls;
    counts.taken += status == 0 ? 1 : 0;
    return status == 0;
}

} // namespace trtconv
