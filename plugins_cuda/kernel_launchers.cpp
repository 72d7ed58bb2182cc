// The C entry points: check what C cannot, launch, and turn exceptions into a status.
#include "common/export.h"
#include "common/version.h"
#include "instance_norm/instance_norm.h"
#include "instance_norm/instance_norm_config.h"
#include "reflect_pad/reflect_pad.h"
#include "trtconv_kernels.h"

namespace
{

using namespace trtconv;

bool isAligned(void const* address, int64_t numBytes)
{
    return address != nullptr && reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(numBytes) == 0;
}

template <typename Body>
int statusOf(Body const& body) noexcept
{
    try
    {
        body();
        return 0;
    }
    catch (CudaError const& error)
    {
        return static_cast<int>(error.status());
    }
    catch (std::exception const&)
    {
        return TRTCONV_ERROR_OTHER;
    }
}

bool isKnownType(int32_t dtype)
{
    return dtype == TRTCONV_FLOAT32 || dtype == TRTCONV_FLOAT16 || dtype == TRTCONV_BFLOAT16;
}

} // namespace

TRTCONV_EXPORT int trtconv_instance_norm(void const* input, void const* scale, void const* bias, void* output,
    int64_t batch, int64_t channels, int64_t slice_size, float epsilon, int32_t dtype, int32_t format, void* workspace,
    size_t workspace_bytes, void* stream)
{
    if (batch < 0 || channels < 0 || slice_size < 0)
    {
        return TRTCONV_ERROR_SHAPE;
    }
    if (!isKnownType(dtype) || format != TRTCONV_FORMAT_LINEAR)
    {
        return TRTCONV_ERROR_TYPE;
    }
    if (batch == 0 || channels == 0 || slice_size == 0)
    {
        return 0;
    }
    auto const type = static_cast<ElementType>(dtype);
    for (void const* const tensor : {input, scale, bias, static_cast<void const*>(output)})
    {
        if (!isAligned(tensor, elementBytes(type)))
        {
            return TRTCONV_ERROR_POINTER;
        }
    }
    size_t const neededBytes = trtconv_instance_norm_workspace_bytes(batch, channels, slice_size);
    if (workspace_bytes < neededBytes || (neededBytes != 0 && !isAligned(workspace, kPartialBytes)))
    {
        return TRTCONV_ERROR_WORKSPACE;
    }
    return statusOf(
        [&]
        {
            launchInstanceNorm(
                {input, scale, bias, output, workspace, batch * channels, channels, slice_size, epsilon, type},
                currentDeviceLimits(), static_cast<cudaStream_t>(stream));
        });
}

TRTCONV_EXPORT size_t trtconv_instance_norm_workspace_bytes(int64_t batch, int64_t channels, int64_t slice_size)
{
    return static_cast<size_t>(instanceNormWorkspaceBytes(batch * channels, slice_size));
}

TRTCONV_EXPORT int trtconv_reflect_pad(void const* input, void* output, int32_t rank, int64_t const* sizes,
    int64_t const* pads, int32_t element_bytes, int32_t format, void* stream)
{
    bool const hasKnownType = element_bytes == 1 || element_bytes == 2 || element_bytes == 4 || element_bytes == 8;
    if (!hasKnownType || format != TRTCONV_FORMAT_LINEAR)
    {
        return TRTCONV_ERROR_TYPE;
    }
    if (rank < 1 || rank > kMaxRank || std::any_of(sizes, sizes + rank, [](int64_t size) { return size < 0; })
        || findBadPad(rank, sizes, pads) >= 0)
    {
        return TRTCONV_ERROR_SHAPE;
    }
    PadShape const shape = mergeAxes(rank, sizes, pads);
    if (shape.numOutputs() == 0)
    {
        return 0;
    }
    if (!isAligned(input, element_bytes) || !isAligned(output, element_bytes))
    {
        return TRTCONV_ERROR_POINTER;
    }
    return statusOf(
        [&] { launchReflectPad({input, output, shape, element_bytes}, static_cast<cudaStream_t>(stream)); });
}

TRTCONV_EXPORT char const* trtconv_plugin_library_version()
{
    return kLibraryVersion;
}
