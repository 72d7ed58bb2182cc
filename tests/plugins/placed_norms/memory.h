// Memory that keeps account of the launches that read and write it, and is never touched.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "common/lanes.h"
#include "common/plugin_error.h"

namespace trtconv
{

// The bytes of a tensor. Nothing reads or writes at its address.
struct Range
{
    Range(void const* data, int64_t bytes)
        : begin(reinterpret_cast<intptr_t>(data))
        , numBytes(bytes)
    {
    }

    int64_t begin;
    int64_t numBytes;

    int64_t end() const { return begin + numBytes; }
    bool overlaps(Range const& other) const
    {
        return numBytes > 0 && other.numBytes > 0 && begin < other.end() && other.begin < end();
    }
    bool contains(Range const& other) const
    {
        return other.numBytes == 0 || (begin <= other.begin && other.end() <= end());
    }
    bool operator==(Range const& other) const { return begin == other.begin && numBytes == other.numBytes; }
};

// Returns addresses that are further apart than any tensor is long.
inline void* addressOf(int64_t number)
{
    return reinterpret_cast<void*>(static_cast<intptr_t>(number << 44));
}

inline void* const kInputAddress = addressOf(1);
inline void* const kResidualAddress = addressOf(2);
inline void* const kOutputAddress = addressOf(3);
inline void* const kWorkspaceAddress = addressOf(4);

// The tensors of one norm, and its workspace.
class Memory
{
public:
    Memory(int64_t inputBytes, int64_t residualBytes, int64_t outputBytes, int64_t workspaceBytes)
        : residual(kResidualAddress, residualBytes)
        , output(kOutputAddress, outputBytes)
        , workspace(kWorkspaceAddress, workspaceBytes)
        , mWhole{{kInputAddress, inputBytes}, residual}
    {
    }

    // Records a launch. No later launch may read its sums, nor what it wrote if that is not whole.
    void launch(char const* what, std::vector<Range> const& reads, Range const& written, bool isWhole = true,
        Range const& sums = {nullptr, 0})
    {
        path += (path.empty() ? "" : ", ") + std::string(what);
        for (Range const& read : reads)
        {
            check(isWholeTensor(read), "reads memory that holds no such tensor, or no longer does");
            check(!written.overlaps(read), "writes over what it reads");
            check(!sums.overlaps(read), "keeps sums in what it reads");
        }
        check(output.contains(written) || workspace.contains(written), "writes beyond the output and the workspace");
        check(workspace.contains(sums), "keeps sums beyond the workspace");
        check(!sums.overlaps(written), "keeps sums in what it writes");
        check(written.begin % kVectorBytes == 0 && sums.begin % kVectorBytes == 0,
            "writes at an address that is not aligned to 16 bytes");
        auto const isLost = [&](Range const& tensor) { return tensor.overlaps(written) || tensor.overlaps(sums); };
        mWhole.erase(std::remove_if(mWhole.begin(), mWhole.end(), isLost), mWhole.end());
        if (isWhole)
        {
            mWhole.push_back(written);
        }
        inside = isWhole ? Range{nullptr, 0} : written;
    }

    // Keeps the first problem.
    void check(bool isRight, char const* what)
    {
        if (!isRight && problem.empty())
        {
            problem = text("the last of these launches ", what, ": ", path);
        }
    }

    bool isWholeTensor(Range const& range) const
    {
        return range.numBytes == 0 || std::find(mWhole.begin(), mWhole.end(), range) != mWhole.end();
    }

    Range residual;
    Range output;
    Range workspace;
    Range inside{nullptr, 0}; // the tensor whose inside the last launch wrote, without its pads
    std::string path; // the launches so far
    std::string problem;

private:
    std::vector<Range> mWhole; // the tensors that launches may read
};

} // namespace trtconv
