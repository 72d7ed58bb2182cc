// The kernels' faces alone: their bodies are for a GPU.
#pragma once

#include "norm/channels_last/exchange.cuh"

namespace trtconv::channels_last
{

struct SplitMemory
{
    ChannelTotals* totals;
    Affine* affines;
};

template <typename T>
void sumColumnParts(Tensors<T, ResultKind::kFused> const /*tensors*/, Config const /*config*/, SplitMemory /*memory*/)
{
}

template <typename T>
void finishGroups(Tensors<T, ResultKind::kFused> const /*tensors*/, Config const /*config*/, SplitMemory /*memory*/)
{
}

template <typename T>
void normaliseColumnParts(
    Tensors<T, ResultKind::kFused> const /*tensors*/, Config const /*config*/, SplitMemory /*memory*/)
{
}

} // namespace trtconv::channels_last
