/* latent.h - the LATENT value, and what must be true of it before a model may sample on it. */
#ifndef WEFT_SAMPLING_LATENT_H
#define WEFT_SAMPLING_LATENT_H

#include "engine/tensor/tensor.h"

/* Immutable once it has left the function that made it. */
typedef struct Latent {
    Ref ref;
    Tensor *samples; /* [B,C,h,w] F32; one reference owned */
    Tensor
        *noise_mask; /* [M,H,W] or [M,1,H,W] F32 in 0..1, 1 = repaint; any size; NULL = none */
    int64_t *batch_index; /* owned; batch_count indices; NULL = none */
    int64_t batch_count;
    int downscale; /* pixels per cell that an *empty* latent was made for (8); 0 = the model's own */
} Latent;

/* How a model's latents lie: channels, pixels per cell, and the map between what the VAE gives and what
 * the transformer reads: in = (x - shift) * scale, out = x / scale + shift. */
typedef struct LatentFormat {
    int channels, downscale;
    float scale, shift;
} LatentFormat;

/* Takes over the reference on samples also when it fails. */
Status latent_new(Tensor *samples, Latent **out, Error *err);
/* All zeros [batch, channels, height/downscale, width/downscale], marked as made for `downscale`. */
Status latent_new_empty(int64_t batch, int channels, int64_t height, int64_t width,
                        int downscale, Latent **out, Error *err);
/* A copy that shares the tensors. */
Status latent_copy(const Latent *l, Latent **out, Error *err);
/* A copy with other samples (reference taken over); mask and batch index stay, downscale is dropped. */
Status latent_with_samples(const Latent *l, Tensor *samples, Latent **out, Error *err);
/* Edits on a latent that nobody else holds yet. The mask's reference is taken over; indices are copied,
 * and a count of 0 takes them away. */
void latent_set_mask(Latent *l, Tensor *mask);
Status latent_set_batch_index(Latent *l, const int64_t *index, int64_t count, Error *err);

static inline Latent *latent_ref(const Latent *l)
{
    return ref_take(l);
}
static inline void latent_unref(const Latent *l)
{
    ref_drop(l);
}

/* The samples as the model takes them: an all-zero latent of another channel count is repeated over
 * channels and cut to the model's count; an empty latent made for another cell size is resized
 * (nearest-exact) by l->downscale / f->downscale, sides rounded half to even. Errors: E_SHAPE when a latent
 * that holds something has the wrong channels. *out is a new reference. */
Status latent_fix(const Latent *l, const LatentFormat *f, Tensor **out, Error *err);

/* (x - shift) * scale, and back; *out is a new tensor (or another reference when nothing changes). */
Status latent_process_in(const LatentFormat *f, const Tensor *x, Tensor **out, Error *err);
Status latent_process_out(const LatentFormat *f, const Tensor *x, Tensor **out, Error *err);
bool latent_is_zero(const Tensor *x);

/* Mask [M,H,W] or [M,1,H,W] to [B,C,h,w]: bilinear (align_corners off, no antialias), the same over
 * channels, items repeated over the batch. */
Status latent_prepare_mask(const Tensor *mask, const Tensor *like, Tensor **out, Error *err);
/* Planes [n,H,W] to [n,h,w], bilinear with align_corners off; src and dst contiguous F32. */
void latent_resize_bilinear(const float *src, int64_t n, int64_t src_h, int64_t src_w,
                            float *dst, int64_t dst_h, int64_t dst_w);

#endif
