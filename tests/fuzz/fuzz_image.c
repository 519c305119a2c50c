/* fuzz_image.c - any bytes as a picture. Large pictures are left out: they only cost time. */
#include "tests/fuzz/fuzz.h"

#include "engine/formats/image.h"

enum { LARGEST = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImageInfo info;
    Image image = { 0 };

    if (image_probe(data, size, &info, NULL) != OK) return 0;
    MUST(info.width > 0 && info.height > 0 && info.orientation >= 1 && info.orientation <= 8);
    MUST((int64_t)info.width * info.height <= IMAGE_MAX_PIXELS);
    if ((int64_t)info.width * info.height > LARGEST) return 0;
    if (image_decode(data, size, &image, NULL) != OK) return 0;
    MUST(image.rgb->ndim == 4 && image.rgb->shape[3] == 3);
    MUST(!image.masked || image.alpha);
    for (int64_t i = 0; i < tensor_count(image.rgb); i++)
        MUST(tensor_f32(image.rgb)[i] >= 0 && tensor_f32(image.rgb)[i] <= 1);
    image_fini(&image);
    return 0;
}
