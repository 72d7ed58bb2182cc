// Random channels-last norms on random GPUs: what each launch indexes of the workspace that a larger norm asked for.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/plugin_error.h"
#include "norm/channels_last/choice.h"
#include "norm/channels_last/workspace.h"
#include "norm/statistics.h"
#include "sanitized/random_values.h"

using namespace trtconv;
using namespace trtconv::channels_last;

namespace
{

struct Norm
{
    int64_t batch;
    int64_t channels;
    int64_t pixels;
    int64_t groups; // 0: none
    int32_t vectorChannels;

    int64_t channelsPerGroup() const { return groups == 0 ? 1 : channels / groups; }
    int64_t workspaceBytes() const
    {
        return channels_last::workspaceBytes(batch, channels, pixels, groups, vectorChannels);
    }
    Config configOn(DeviceLimits const& device) const
    {
        return chooseGroupConfig(
            {batch, pixels, ceilDivide(channels, vectorChannels)}, device, channelsPerGroup(), vectorChannels);
    }
    std::string described() const
    {
        return text("[", batch, ",", channels, ",", pixels, "] in ", groups, " groups and vectors of ", vectorChannels);
    }
};

// A size up to 2^maxBits, often a power of two.
int64_t anySize(Random& random, int64_t maxBits)
{
    int64_t const power = int64_t{1} << random.below(maxBits);
    return random.isOneIn(2) ? power : power + random.below(power);
}

Norm anyNorm(Random& random)
{
    int64_t const batch = random.isOneIn(2) ? 1 : anySize(random, 7);
    int64_t const groups = random.isOneIn(3) ? anySize(random, 6) : 0;
    int64_t const channels = std::max<int64_t>(groups, 1) * anySize(random, groups == 0 ? 11 : 7);
    return {batch, channels, anySize(random, 22), groups, random.isOneIn(2) ? 4 : 8};
}

// Returns a norm of the same profile.
Norm anySmaller(Random& random, Norm norm)
{
    auto const shrink = [&](int64_t& size)
    {
        int64_t const kind = random.below(3);
        size = kind == 0 ? size : kind == 1 ? std::max<int64_t>(size - 1, 1) : 1 + random.below(size);
    };
    shrink(norm.batch);
    shrink(norm.pixels);
    int64_t const channelsPerUnit = std::max<int64_t>(norm.groups, 1);
    int64_t units = norm.channels / channelsPerUnit;
    shrink(units);
    norm.channels = units * channelsPerUnit;
    return norm;
}

DeviceLimits anyDevice(Random& random)
{
    constexpr DeviceLimits kKinds[]{{0, 7, 65536}, {0, 8, 166912}, {0, 8, 101376}, {0, 9, 232448}, {0, 12, 101376}};
    DeviceLimits device = kKinds[random.below(5)];
    device.numProcessors = static_cast<int32_t>(1 + random.below(600));
    return device;
}

// Returns the end of what the blocks of a cooperative grid index.
int64_t exchangedBytes(Config const& config, int32_t vectorChannels)
{
    ExchangeLayout const layout{config.lanes * vectorChannels, config.splits};
    int64_t end = 0;
    for (int32_t split = 0; split < config.splits; ++split)
    {
        for (int32_t channel = 0; channel < layout.columnChannels; ++channel)
        {
            end = std::max<int64_t>({end, layout.totalsAt(channel, split, 1), layout.totalsAt(channel, split, 2),
                layout.finishedAt(channel, split)});
        }
    }
    return ((config.columnsAtOnce - 1) * layout.size() + end + 1) * kTaggedNumbersBytes;
}

int64_t indexedBytes(Norm const& norm, Config const& config)
{
    if (config.method == Method::kSplit)
    {
        int64_t const totals = config.blocks() * config.lanes * norm.vectorChannels;
        return totals * int64_t{sizeof(ChannelTotals)} + norm.batch * norm.channels * int64_t{sizeof(Affine)};
    }
    return config.isCooperative() ? exchangedBytes(config, norm.vectorChannels) : 0;
}

char const* nameOf(Method method)
{
    switch (method)
    {
    case Method::kBlock: return "block";
    case Method::kCluster: return "cluster";
    case Method::kGrid: return "grid";
    case Method::kStreamed: return "streamed";
    case Method::kSplit: return "split";
    }
    return "";
}

} // namespace

// Tries so many random norms. Returns what is wrong with the first that indexes memory that is not its own, or nothing.
// Writes the methods of launches, one on each line; those that some norm needs all of its workspace for come once more,
// with a star.
extern "C" char const* host_norm_workspace(int64_t seed, int64_t num_norms, char const** methods_seen)
{
    static std::string problem;
    static std::string lines;
    std::set<std::string> seen;
    problem.clear();
    lines.clear();
    for (int64_t number = 0; number < num_norms && problem.empty(); ++number)
    {
        Random random(seed, number);
        Norm const largest = anyNorm(random);
        Norm const norm = random.isOneIn(2) ? largest : anySmaller(random, largest);
        DeviceLimits const device = anyDevice(random);
        Config const config = norm.configOn(device);
        int64_t const indexed = indexedBytes(norm, config);
        int64_t const own = norm.workspaceBytes();
        if (indexed > own || own > largest.workspaceBytes())
        {
            problem = text(norm.described(), " indexes ", indexed, " bytes by method ", nameOf(config.method), " on ",
                device.numProcessors, " multiprocessors of version ", device.majorVersion, ", asks for ", own,
                ", and has ", largest.workspaceBytes(), " of ", largest.described());
        }
        seen.insert(nameOf(config.method));
        if (indexed == own && own > 0)
        {
            seen.insert(text(nameOf(config.method), " *"));
        }
    }
    for (std::string const& line : seen)
    {
        lines += line + "\n";
    }
    *methods_seen = lines.c_str();
    return problem.c_str();
}

// Returns whether no two numbers of a column of a cooperative grid that are needed at once lie in the same place.
extern "C" int32_t host_are_exchanged_apart(int32_t column_channels, int32_t splits)
{
    ExchangeLayout const layout{column_channels, splits};
    std::set<int32_t> places;
    for (int32_t split = 0; split < splits; ++split)
    {
        for (int32_t channel = 0; channel < column_channels; ++channel)
        {
            places.insert(layout.totalsAt(channel, split, 1));
            places.insert(layout.areFew() ? layout.totalsAt(channel, split, 2) : layout.finishedAt(channel, split));
        }
    }
    return static_cast<int32_t>(places.size()) == layout.size() && *places.begin() == 0
        && *places.rbegin() == layout.size() - 1;
}

// Returns the bytes of workspace of a tensor in the formats of TensorRT that fill vectors of 16 bytes.
extern "C" int64_t host_norm_workspace_bytes(
    int64_t batch, int64_t channels, int64_t pixels, int64_t groups, int32_t vector_channels)
{
    return workspaceBytes(batch, channels, pixels, groups, vector_channels);
}
