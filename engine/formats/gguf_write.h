/* gguf_write.h - the part of a GGUF file that stands before its tensors' data. */
#ifndef WEFT_FORMATS_GGUF_WRITE_H
#define WEFT_FORMATS_GGUF_WRITE_H

#include "engine/formats/safetensors.h"

/* Header of a version 3 file, padded so that data follow at once (mem_free); begins[i] becomes the place of item i
 * behind it, each at a multiple of 32. type: what most matrices are, for general.file_type. Errors: E_TYPE for a
 * dtype that GGUF has not, E_RANGE, E_NOMEM. */
Status gguf_layout(const char *architecture, KDtype type, const SafeItem *items, size_t count,
                   uint8_t **header, size_t *header_size, uint64_t *begins, Error *err);

#endif
