// The kernel's face alone: its body is for a GPU.
#pragma once

#include "norm/channels_last/exchange.cuh"

namespace trtconv::channels_last
{

template <typename T, Method Method, ResultKind Kind>
void normaliseResidentColumns(
    Tensors<T, Kind> const /*tensors*/, Config const /*config*/, int64_t /*firstColumn*/, TaggedNumbers* /*memory*/)
{
}

} // namespace trtconv::channels_last
