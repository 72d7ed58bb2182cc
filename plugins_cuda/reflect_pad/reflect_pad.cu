#include "reflect_pad/reflect_pad.h"

#include "common/device.h"
#include "reflect_pad/reflect_pad.cuh"

namespace trtconv
{

namespace
{

template <typename Word, typename Index>
void launchIndexed(ReflectPadArguments const& arguments, cudaStream_t stream)
{
    constexpr int32_t kVectorSize = kPadVectorBytes / sizeof(Word);
    auto const baseOffset =
        static_cast<int32_t>(reinterpret_cast<uintptr_t>(arguments.output) % kPadVectorBytes / sizeof(Word));
    VectorSpan const span = makeVectorSpan(0, arguments.shape.numOutputs(), baseOffset, kVectorSize);
    auto const blocks = static_cast<unsigned>(choosePadBlocks(span.numVectors));
    padByReflection<Word, Index><<<blocks, kPadThreads, 0, stream>>>(static_cast<Word const*>(arguments.input),
        static_cast<Word*>(arguments.output), makePadMap<Index>(arguments.shape), span,
        static_cast<Index>(arguments.shape.numInputs()));
    checkCuda(cudaGetLastError(), "launch of padByReflection");
}

template <typename Word>
void launchTyped(ReflectPadArguments const& arguments, cudaStream_t stream)
{
    if (fitsFastIndex(arguments.shape.numOutputs()))
    {
        launchIndexed<Word, uint32_t>(arguments, stream);
    }
    else
    {
        launchIndexed<Word, int64_t>(arguments, stream);
    }
}

} // namespace

void launchReflectPad(ReflectPadArguments const& arguments, cudaStream_t stream)
{
    if (arguments.shape.numOutputs() == 0)
    {
        return;
    }
    switch (arguments.elementBytes)
    {
    case 1: return launchTyped<uint8_t>(arguments, stream);
    case 2: return launchTyped<uint16_t>(arguments, stream);
    case 4: return launchTyped<uint32_t>(arguments, stream);
    case 8: return launchTyped<uint64_t>(arguments, stream);
    default: throw PluginError(text("elements of ", arguments.elementBytes, " bytes cannot be padded"));
    }
}

} // namespace trtconv
