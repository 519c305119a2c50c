/* resize.h - resampling of pictures, masks and latents as ComfyUI's common_upscale does it. */
#ifndef WEFT_IMAGING_RESIZE_H
#define WEFT_IMAGING_RESIZE_H

#include "engine/tensor/tensor.h"

typedef enum ResizeMethod {
    RESIZE_NEAREST_EXACT,
    RESIZE_BILINEAR, /* half-pixel centres, no antialias */
    RESIZE_AREA,     /* mean over the covered cells */
    RESIZE_BICUBIC,  /* a = -0.75, no antialias */
    RESIZE_LANCZOS,  /* 8-bit, support scaled: values are quantised to 1/255 */
    RESIZE_BISLERP,  /* per-pixel spherical interpolation of channel vectors */
    RESIZE_METHOD_COUNT
} ResizeMethod;

/* "nearest-exact", "bilinear", "area", "bicubic", "lanczos", "bislerp". False when unknown. */
bool resize_method_from_name(const char *name, ResizeMethod *out);

/*
 * x [N, C, H, W] F32 -> out [N, C, height, width] F32. `center` crops to the target's aspect first
 * (half differences rounded half to even). Lanczos takes 1 to 4 channels; a single channel is kept as
 * a channel (the reference transposes it, a quirk that is not copied).
 * Errors: E_RANGE for a size below 1 or above 2^20, E_NOMEM.
 */
Status resize_nchw(const Tensor *x, int64_t width, int64_t height, ResizeMethod method,
                   bool center, Tensor **out, Error *err);

/* The same for pictures [N, H, W, C]. */
Status resize_nhwc(const Tensor *x, int64_t width, int64_t height, ResizeMethod method,
                   bool center, Tensor **out, Error *err);

/* Masks [N, H, W]. */
Status resize_mask(const Tensor *x, int64_t width, int64_t height, ResizeMethod method,
                   bool center, Tensor **out, Error *err);

/* Layout changes, float32. */
Status image_to_nchw(const Tensor *nhwc, Tensor **out, Error *err);
Status image_to_nhwc(const Tensor *nchw, Tensor **out, Error *err);

/* Sizes as the nodes compute them; rounding is half to even. */
typedef struct Size2 {
    int64_t width, height;
} Size2;

/* ImageScale: both 0 keeps the size; one 0 follows the picture's ratio. */
Size2 size_scale(Size2 image, int64_t width, int64_t height);
Size2 size_scale_by(Size2 image, double factor);
/* ImageScaleToTotalPixels: megapixels of 1024*1024, sides multiples of `step`. */
Size2 size_total_pixels(Size2 image, double megapixels, int64_t step);
/* LatentUpscale: pixel sizes asked for -> latent cells (//8, at least 64 pixels). */
Size2 size_latent_upscale(Size2 latent, int64_t width, int64_t height);

#endif
