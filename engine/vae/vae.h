/* vae.h - the VAE value: pictures to latents and back (FLUX.1 and FLUX.2 AutoencoderKL).
 *
 * Pictures are [B,H,W,C] F32 in 0..1; latents [B,c,h,w] F32 as nodes carry them (unscaled; the transformer's
 * own scale is applied at the sampler's border). A file with bn.running_mean is a FLUX.2 VAE: its latents
 * are packed 2x2 into channels (c*4 + dy*2 + dx) and normalised per channel. All sizes come from the file.
 * Encoding gives the mean of the posterior; nothing is sampled.
 */
#ifndef WEFT_VAE_VAE_H
#define WEFT_VAE_VAE_H

#include "engine/formats/weights.h"
#include "engine/residency/host.h"
#include "engine/tensor/tensor.h"

typedef struct Vae Vae; /* shared by reference: vae_ref, vae_unref */

/* Recognises the VAE in `w` under the prefixes "", vae. and first_stage_model., in BFL's or diffusers'
 * names. The host must outlive it. Errors: E_FORMAT (what is missing), E_SHAPE, E_NOMEM. */
Status vae_open(Host *h, const Weights *w, const char *file, Vae **out, Error *err);

static inline Vae *vae_ref(const Vae *v)
{
    return ref_take(v);
}
static inline void vae_unref(const Vae *v)
{
    ref_drop(v);
}

int64_t vae_ratio(const Vae *v);    /* pixels per latent cell and side: 8, 16 */
int64_t vae_channels(const Vae *v); /* of latents: 16, 128 */

/* image [B,H,W,C>=3]; cropped in the centre to multiples of the ratio, further channels dropped.
 * Errors: E_SHAPE (smaller than one cell), E_CANCELLED, E_NOMEM. */
Status vae_encode(const Vae *v, const Tensor *image, Tensor **out, Error *err);
/* latent [B,c,h,w] of any size; image [B, h*ratio, w*ratio, 3]. */
Status vae_decode(const Vae *v, const Tensor *latent, Tensor **out, Error *err);

/* Tiles: decoding counts in latent cells, encoding in pixels. The result is the mean of three passes, with
 * tiles of the given shape, twice as wide and half as high, and the other way round; overlaps are
 * feathered. Errors: E_RANGE when the overlap is not smaller than half a tile. */
typedef struct VaeTiles {
    int64_t tile_x, tile_y, overlap;
} VaeTiles;
Status vae_encode_tiled(const Vae *v, const Tensor *image, const VaeTiles *t, Tensor **out,
                        Error *err);
Status vae_decode_tiled(const Vae *v, const Tensor *latent, const VaeTiles *t, Tensor **out,
                        Error *err);
/* Decoding tiles from a node's pixels: an overlap above a quarter of the tile is cut to that. */
VaeTiles vae_tiles_from_pixels(const Vae *v, int64_t tile, int64_t overlap);

/* What one decode of a picture of height x width pixels costs; builds, does not run. */
typedef struct VaeCost {
    size_t arena_bytes, weight_bytes;
    double flops;
    int operations;
} VaeCost;
Status vae_decode_cost(const Vae *v, int64_t height, int64_t width, VaeCost *out, Error *err);

#endif
