/* compose.h - padding, pasting and joining pictures and latents. */
#ifndef WEFT_IMAGING_COMPOSE_H
#define WEFT_IMAGING_COMPOSE_H

#include "engine/tensor/tensor.h"

/* ImagePadForOutpaint: the picture on a 0.5 canvas, and a mask [B,H,W] that is 1 outside and falls off
 * quadratically over `feathering` pixels inside (only on padded sides). */
Status image_pad(const Tensor *image, int64_t left, int64_t top, int64_t right, int64_t bottom,
                 int64_t feathering, Tensor **out, Tensor **mask, Error *err);

/* A constant picture; rgb = 0xRRGGBB. */
Status image_solid(int64_t width, int64_t height, int64_t batch, int64_t rgb, Tensor **out,
                   Error *err);
Status image_invert(const Tensor *image, Tensor **out, Error *err);

/*
 * Pastes source over destination, both [B,C,H,W], at (x, y) in units of `multiplier` per cell. mask
 * [B,H,W] or NULL: out = mask * source + (1 - mask) * destination. resize_source stretches the source
 * to the destination first.
 */
Status compose_masked(const Tensor *destination, const Tensor *source, int64_t x, int64_t y,
                      const Tensor *mask, int64_t multiplier, bool resize_source, Tensor **out,
                      Error *err);

/* 8-bit samples as ComfyUI saves them: trunc(clip(255 v, 0, 255)). */
void image_to_bytes(const float *x, uint8_t *y, int64_t n);

#endif
