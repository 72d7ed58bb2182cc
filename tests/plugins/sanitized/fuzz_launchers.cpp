// Calls of the C launchers with sizes, places and maps that may be anything.
#include "sanitized/findings.h"
#include "sanitized/random_values.h"
#include "trtconv_kernels.h"

namespace trtconv
{

namespace
{

void countLauncher(int status)
{
    ++counts.launcherCalls;
    counts.launcherTaken += status == 0 ? 1 : 0;
}

trtconv_norm_place placeOf(Random& random)
{
    int64_t const rarity = random.isOneIn(2) ? 1 << 20 : 8; // half of all are meant to be right
    trtconv_norm_place place{};
    place.rank = static_cast<int32_t>(random.smallOrAny(1, rarity));
    for (int i = 0; i < 6; ++i)
    {
        place.sizes[i] = random.size();
        place.upsample[i] = random.smallOrAny(1, rarity);
        place.phases[i] = random.isOneIn(4) ? random.smallOrAny(1, rarity) : 1;
        place.crop[i] = random.isOneIn(8) ? random.smallOrAny(0, rarity) : 0;
    }
    for (int i = 0; i < 12; ++i)
    {
        place.pads[i] = random.smallOrAny(0, rarity);
        place.residual_pads[i] = random.smallOrAny(0, rarity);
    }
    place.pad_mode = static_cast<int32_t>(random.smallOrAny(0, rarity));
    place.output_dtype = static_cast<int32_t>(random.smallOrAny(0, rarity));
    return place;
}

// Returns the product of the place's sizes, as it must be.
int64_t sliceSizeOf(trtconv_norm_place const& place)
{
    int64_t product = 1;
    for (int i = 0; i < place.rank && i < 6; ++i)
    {
        product = productOrMost(product, place.sizes[i]);
    }
    return product;
}

void callNorm(Random& random)
{
    trtconv_norm_place const place = placeOf(random);
    bool const isPlaced = random.isOneIn(2);
    int64_t const sliceSize = isPlaced && !random.isOneIn(16) ? sliceSizeOf(place) : random.size();
    trtconv_instance_norm_options options{};
    options.groups = random.isOneIn(2) ? 0 : random.smallOrAny(1, 8);
    options.is_affine_per_image = static_cast<int32_t>(random.below(2));
    options.activation = static_cast<int32_t>(random.below(8));
    options.residual = random.isOneIn(2) ? nullptr : random.address();
    options.slope = random.isOneIn(4) ? nullptr : random.address();
    options.place = isPlaced ? &place : nullptr;
    int64_t const batch = random.size();
    int64_t const channels = random.size();
    auto const dtype = static_cast<int32_t>(random.smallOrAny(0, 16));
    auto const format = static_cast<int32_t>(random.isOneIn(16) ? random.integer() : random.below(2));
    size_t const bytes =
        trtconv_instance_norm_workspace_bytes(batch, channels, sliceSize, dtype, format, options.groups, options.place);
    countLauncher(
        trtconv_instance_norm(random.address(), random.address(), random.address(), random.address(), batch, channels,
            sliceSize, 1e-5F, dtype, format, random.isOneIn(8) ? nullptr : &options, random.address(), bytes, nullptr));
}

trtconv_output_map mapOf(Random& random, int64_t rarity)
{
    trtconv_output_map map{};
    for (int64_t& factor : map.upsample)
    {
        factor = random.isOneIn(2) ? 1 : random.smallOrAny(1, rarity);
    }
    for (int i = 0; i < 8; ++i)
    {
        map.phases[i] = random.isOneIn(16) ? random.smallOrAny(1, rarity) : 1;
        map.crop[i] = random.isOneIn(16) ? random.smallOrAny(0, rarity) : 0;
    }
    map.upsample[1] = random.isOneIn(16) ? 2 : 1;
    map.pad_mode = static_cast<int32_t>(random.smallOrAny(0, rarity));
    map.output_format = static_cast<int32_t>(random.smallOrAny(0, rarity));
    bool const isMoved = random.isOneIn(2);
    map.input_dtype = isMoved ? TRTCONV_WORDS : static_cast<int32_t>(random.smallOrAny(0, rarity));
    map.output_dtype = isMoved ? TRTCONV_WORDS : static_cast<int32_t>(random.smallOrAny(0, rarity));
    map.activation = isMoved ? TRTCONV_ACTIVATION_NONE : static_cast<int32_t>(random.below(8));
    return map;
}

void callPad(Random& random)
{
    int64_t const rarity = random.isOneIn(2) ? 1 << 20 : 8;
    trtconv_output_map const map = mapOf(random, rarity);
    int64_t sizes[8];
    int64_t pads[16];
    for (int64_t& size : sizes)
    {
        size = random.size();
    }
    for (int64_t& pad : pads)
    {
        pad = random.isOneIn(2) ? 0 : random.smallOrAny(0, rarity);
    }
    auto const rank = static_cast<int32_t>(random.isOneIn(32) ? random.integer() : 1 + random.below(8));
    bool const hasChannels = rank >= 3 && rank <= 8 && !random.isOneIn(16);
    pads[1] = hasChannels ? 0 : pads[1];
    pads[hasChannels ? rank + 1 : 1] = 0;
    auto const format = random.isOneIn(2) ? map.output_format : static_cast<int32_t>(random.below(5));
    int32_t const bytes = map.input_dtype == TRTCONV_FLOAT32 ? 4 : map.input_dtype > 0 ? 2 : 1 << random.below(5);
    countLauncher(trtconv_reflect_pad(random.address(), random.address(), rank, sizes, pads, bytes, format,
        random.isOneIn(3) ? nullptr : &map, nullptr));
}

} // namespace

void fuzzLaunchers(Random& random)
{
    callNorm(random);
    callPad(random);
}

} // namespace trtconv
