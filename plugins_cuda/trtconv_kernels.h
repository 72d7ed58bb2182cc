/* C entry points of libtrtconv_plugins.so: the kernels without TensorRT, for tests, benchmarks and other programs.
 *
 * Every function that returns int returns 0 when the work was enqueued; a positive cudaError_t when CUDA refused it;
 * and a TRTCONV_ERROR_* when an argument is wrong, in which case nothing was enqueued. None of them allocates or
 * synchronises, so all may be captured into a CUDA graph. The first call on a device readies the kernels there, for the
 * context that is current: programs keep to one context a device, and do not reset it. `stream` is a cudaStream_t;
 * tensors are on the current device, contiguous in the given format, aligned to their elements (to 16 bytes in a format
 * that is not linear), and the output overlaps no input. An empty tensor enqueues nothing. */
#ifndef TRTCONV_KERNELS_H
#define TRTCONV_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

#define TRTCONV_FLOAT32 0
#define TRTCONV_FLOAT16 1
#define TRTCONV_BFLOAT16 2
#define TRTCONV_WORDS (-1) /* elements of any type, moved bit for bit */

#define TRTCONV_PAD_REFLECT 0 /* the inside mirrored, the border not repeated */
#define TRTCONV_PAD_EDGE 1 /* the border repeated */
#define TRTCONV_PAD_ZERO 2

/* How a tensor [N, C, D1..Dk] lies in memory. Beside the linear format channels lie together in vectors, the last of
 * which is filled up: what lies there is ignored in the input. In a channels-last output it is set to zero.
 *   LINEAR         [N, C, D1..Dk]
 *   CHANNELS_LAST  [N, D1..Dk, C], C rounded up to 16 bytes: TensorRT's kHWC8 and kDHWC8 for 2-byte types, kHWC16 for
 *                  1-byte types, and kHWC and kDHWC for 4-byte types where 4 divides C
 *   CHW4           [N, C / 4 rounded up, D1..Dk, 4]
 *   CHW32          [N, C / 32 rounded up, D1..Dk, 32], also TensorRT's kCDHW32 */
#define TRTCONV_FORMAT_LINEAR 0
#define TRTCONV_FORMAT_CHANNELS_LAST 1
#define TRTCONV_FORMAT_CHW4 2
#define TRTCONV_FORMAT_CHW32 3

#define TRTCONV_ERROR_SHAPE (-1) /* a negative size; no channels that divide the slices; pads not below their axis */
#define TRTCONV_ERROR_TYPE (-2) /* unknown dtype, element size or format, or one that this function does not take */
#define TRTCONV_ERROR_POINTER (-3) /* null, or not aligned */
#define TRTCONV_ERROR_WORKSPACE (-4) /* smaller than asked for, or not aligned to 16 bytes */
#define TRTCONV_ERROR_OTHER (-5)
#define TRTCONV_ERROR_OPTION (-6) /* unknown activation; alpha not finite; groups or phases that do not fit */

/* Phases: a convolution that computes neighbours at once writes them as blocks of channels. With phases b1..bk of the
 * axes D1..Dk, and B their product, an input is [N, B * C, D1..Dk], and what is read is [N, C, D1 * b1, .., Dk * bk],
 * as ONNX's DepthToSpace of mode DCR makes it: element i of an axis is element i / b of phase i % b, and channel c of
 * the phases p1..pk is channel ((p1 * b2 + p2) * b3 + ..) * C + c of the input. Fewer than b elements at the end of an
 * axis may be cropped; they count nowhere. All else - channels, groups, affine, residual, pads - is said of what is
 * read. */

/* What becomes of a value y before it is rounded. */
#define TRTCONV_ACTIVATION_NONE 0
#define TRTCONV_ACTIVATION_RELU 1 /* max(y, 0), NaN where y is */
#define TRTCONV_ACTIVATION_LEAKY_RELU 2 /* y < 0 ? alpha * y : y */
#define TRTCONV_ACTIVATION_PRELU 3 /* y < 0 ? slope of the channel * y : y */
#define TRTCONV_ACTIVATION_SILU 4 /* y / (1 + exp(-y)) */
#define TRTCONV_ACTIVATION_ELU 5 /* y < 0 ? alpha * (exp(y) - 1) : y */
#define TRTCONV_ACTIVATION_TANH 6

    /* Where the results of a norm go, and where its residual lies; all by the spatial axes D1..Dk. */
    typedef struct
    {
        int32_t rank; /* k, 1 to 6 */
        int64_t sizes[6]; /* D1..Dk of the input, slice_size together */
        int64_t upsample[6]; /* a factor for each, at least 1: each result is repeated so often, before the pads */
        int64_t pads[12]; /* all begins, then all ends */
        int64_t residual_pads[12]; /* the residual is the inside of a tensor with these pads */
        int32_t pad_mode;
        int32_t output_dtype; /* that of the input; or any where the input is TRTCONV_FLOAT32 */
        int64_t phases[6]; /* of each axis, at least 1 */
        int64_t crop[6]; /* of each axis, below its phases */
    } trtconv_norm_place;

    /* What an InstanceNorm does beside; all zeros: nothing. */
    typedef struct
    {
        int64_t groups; /* 0: each channel is normalised by itself; otherwise so many groups of neighbouring channels */
        int32_t is_affine_per_image; /* 0: scale and bias have `channels` elements; 1: batch * channels */
        int32_t activation;
        float alpha; /* of a leaky relu and of elu */
        void const* residual; /* null, or like input: added before the activation */
        void const* slope; /* `channels` elements, of a PRelu; otherwise null */
        trtconv_norm_place const* place; /* null: results lie where the inputs do */
    } trtconv_instance_norm_options;

    /* y = activation(scale * (x - mean) / sqrt(variance + epsilon) + bias + residual), mean and variance over each of
     * batch * channels slices of slice_size elements, or over each group of them. scale, bias and slope are linear; all
     * tensors are of type `dtype`; the format, linear or channels-last, is that of input, residual and output. batch,
     * channels and slice_size are those of the input as it lies, with its phases. The output overlaps no other tensor.
     * `options` may be null. */
    int trtconv_instance_norm(void const* input, void const* scale, void const* bias, void* output, int64_t batch,
        int64_t channels, int64_t slice_size, float epsilon, int32_t dtype, int32_t format,
        trtconv_instance_norm_options const* options, void* workspace, size_t workspace_bytes, void* stream);

    /* Bytes of workspace that trtconv_instance_norm needs for these sizes in this type, and for a smaller batch or
     * smaller slices; often 0, if `place` is null, and 0 for what trtconv_instance_norm refuses. */
    size_t trtconv_instance_norm_workspace_bytes(int64_t batch, int64_t channels, int64_t slice_size, int32_t dtype,
        int32_t format, int64_t groups, trtconv_norm_place const* place);

    /* What a pad does beside moving elements and reflecting them. */
    typedef struct trtconv_output_map
    {
        int64_t upsample[8]; /* a factor for each axis, at least 1: each input is repeated so often, before the pads */
        int32_t pad_mode;
        int32_t output_format; /* that of the input; or one of the two is linear and the other channels-last */
        int32_t input_dtype; /* where one of both is TRTCONV_WORDS, so is the other */
        int32_t output_dtype;
        int32_t activation; /* computed in float, of elements that have a dtype */
        float alpha;
        int64_t phases[8]; /* of each axis, at least 1; more for spatial axes alone, beside a rank of 3 or more */
        int64_t crop[8]; /* of each axis, below its phases */
    } trtconv_output_map;

    /* Pads each axis with the reflection of its inside, the border not repeated, or as `map` says, which may be null.
     * `sizes` has `rank` (1 to 8) elements, `pads` twice as many: all begins, then all ends, each below the size of the
     * (upsampled) axis if it is reflected. element_bytes, of the input, is 1, 2, 4 or 8. Beside the linear format the
     * rank is 3 to 7 and the second axis, the channels, is neither padded nor upsampled; CHW4 and CHW32 have no phases.
     */
    int trtconv_reflect_pad(void const* input, void* output, int32_t rank, int64_t const* sizes, int64_t const* pads,
        int32_t element_bytes, int32_t format, trtconv_output_map const* map, void* stream);

    /* The version of trtconv that the library was built from, for example "0.1.0". */
    char const* trtconv_plugin_library_version(void);

#ifdef __cplusplus
}
#endif

#endif
