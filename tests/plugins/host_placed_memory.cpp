// Random norms with what surrounds them, launched by the library's own code. Stand-ins for the kernels record what each
// launch reads and writes.
#include <set>
#include <string>
#include <vector>

#include "norm/linear/launch.cu"
#include "norm/norm.cu"
#include "norm/place.cpp"
#include "norm/placed.cpp"
#include "placed_norms/memory.h"
#include "placed_norms/random_norm.h"

namespace trtconv
{

namespace
{

Memory* memory = nullptr; // of the norm that is launched

int64_t filledChannels(int64_t channels, Layout layout, int32_t bytes)
{
    int64_t const lanes = channelLanes(layout, bytes);
    return ceilDivide(channels, lanes) * lanes;
}

int64_t inputBytes(MapRequest const& request, int32_t bytes)
{
    int64_t const channels = request.sizes[1];
    return request.numInputs() / channels * filledChannels(channels, request.inputLayout, bytes) * bytes;
}

int64_t outputBytes(MapRequest const& request, int32_t bytes)
{
    int64_t const channels = request.channels();
    return request.numOutputs() / channels * filledChannels(channels, request.outputLayout, bytes) * bytes;
}

void recordNorm(NormArguments const& arguments)
{
    NormShape const& shape = arguments.shape;
    int32_t const bytes = elementBytes(arguments.type);
    int64_t const numBytes =
        shape.batch * filledChannels(shape.channels, arguments.layout, bytes) * shape.sliceSize * bytes;
    bool const isScattered = arguments.planes != nullptr || arguments.places != nullptr;
    std::vector<Range> reads{{arguments.input, numBytes}};
    if (arguments.epilogue.residual != nullptr)
    {
        reads.emplace_back(arguments.epilogue.residual, isScattered ? memory->residual.numBytes : numBytes);
    }
    memory->launch(isScattered ? "scattered norm" : "norm", reads,
        {arguments.output, isScattered ? memory->output.numBytes : numBytes}, !isScattered,
        {arguments.workspace, normWorkspaceBytes(arguments)});
}

void recordMap(char const* what, GatherArguments const& arguments)
{
    memory->launch(what, {{arguments.input, inputBytes(arguments.request, arguments.elementBytes)}},
        {arguments.output, outputBytes(arguments.request, arguments.outputBytes())});
}

// Launches a norm in the workspace of the largest; returns what was wrong, if anything.
std::string launchIn(
    PlacedNorm const& largest, PlacedNorm const& norm, bool isFixed, bool hasResidual, std::set<std::string>& paths)
{
    int32_t const bytes = elementBytes(norm.type);
    Memory tensors(inputBytes(norm.input(), bytes), hasResidual ? inputBytes(norm.residual(), bytes) : 0,
        outputBytes(norm.output(), elementBytes(norm.place.outputType)),
        placedWorkspaceBytes(largest.arguments(), largest.place, isFixed));
    memory = &tensors;
    NormArguments arguments = norm.arguments();
    arguments.input = kInputAddress;
    arguments.epilogue.residual = hasResidual ? kResidualAddress : nullptr;
    arguments.output = kOutputAddress;
    arguments.workspace = kWorkspaceAddress;
    launchPlacedNorm(arguments, norm.place, kH100, nullptr);
    tensors.check(tensors.isWholeTensor(tensors.output), "leaves part of the output unwritten");
    if (!arguments.shape.isEmpty())
    {
        paths.insert(text(nameOf(norm.layout), ": ", tensors.path));
    }
    return tensors.problem.empty() ? ""
                                   : text(tensors.problem, "\n  shape ", described(norm), "\n  workspace of ",
                                         tensors.workspace.numBytes, " bytes for ", isFixed ? "the fixed " : "at most ",
                                         described(largest), hasResidual ? "\n  with a residual" : "");
}

} // namespace

namespace linear
{

template <typename T>
void prepareType(DeviceLimits const& /*device*/)
{
}

template <typename T>
void prepareScattered(DeviceLimits const& /*device*/)
{
}

template <typename T>
void launchType(NormArguments const& arguments, DeviceLimits const& /*device*/, cudaStream_t /*stream*/)
{
    recordNorm(arguments);
}

template <typename T>
void launchScattered(NormArguments const& arguments, DeviceLimits const& /*device*/, cudaStream_t /*stream*/)
{
    recordNorm(arguments);
}

} // namespace linear

void channels_last::prepare(DeviceLimits const& /*device*/)
{
}

void channels_last::launch(NormArguments const& arguments, DeviceLimits const& /*device*/, cudaStream_t /*stream*/)
{
    recordNorm(arguments);
}

void launchGather(GatherArguments const& arguments, DeviceLimits const& /*device*/, cudaStream_t /*stream*/)
{
    recordMap(arguments.request.isPhased() ? "interleaving" : "copy of the residual", arguments);
}

void launchPad(GatherArguments const& arguments, DeviceLimits const& /*device*/, cudaStream_t /*stream*/)
{
    recordMap("output map", arguments);
}

void launchFillPads(PaddedImages const& images, DeviceLimits const& /*device*/, cudaStream_t /*stream*/)
{
    int64_t const words =
        images.numImages * images.rows.outputSize() * images.columns.outputSize() * images.wordsPerPixel;
    Range const inside = memory->inside;
    Range const filled{images.data, words * images.wordBytes};
    memory->launch("filling of pads", {}, filled);
    memory->check(inside == filled, "fills pads of a tensor whose inside was not written");
    memory->check(words <= std::numeric_limits<int32_t>::max(), "counts words beyond 32 bits");
}

} // namespace trtconv

using namespace trtconv;

// Tries so many random norms. Returns what is wrong with the first that is launched wrongly, or nothing. Writes the
// paths that were taken, one on each line.
extern "C" char const* host_placed_memory(int64_t seed, int64_t num_norms, char const** paths_taken)
{
    static std::string problem;
    static std::string lines;
    std::set<std::string> paths;
    problem.clear();
    lines.clear();
    for (int64_t number = 0; number < num_norms && problem.empty(); ++number)
    {
        Random random(seed, number);
        PlacedNorm const largest = anyNorm(random);
        bool const isFixed = random.isOneIn(2);
        bool const hasResidual = random.isOneIn(2);
        PlacedNorm const norm = isFixed ? largest : anySmaller(random, largest);
        if (largest.isPossible() && norm.isPossible())
        {
            problem = launchIn(largest, norm, isFixed, hasResidual, paths);
        }
    }
    for (std::string const& path : paths)
    {
        lines += path + "\n";
    }
    *paths_taken = lines.c_str();
    return problem.c_str();
}
