/* sixel.h - a picture as Sixel, the raster graphics of DEC's terminals and their heirs. */
#ifndef WEFT_CLI_SIXEL_H
#define WEFT_CLI_SIXEL_H

#include <stdint.h>
#include <stdio.h>

#include "engine/base/status.h"

/* Writes rgb [height, width, 3] with at most 256 colours, chosen by median cut, in bands of six rows.
 * Errors: E_NOMEM. Source: "VT330/VT340 Programmer Reference Manual", volume 2, chapter 14. */
Status sixel_write(const uint8_t *rgb, int width, int height, FILE *out, Error *err);

#endif
