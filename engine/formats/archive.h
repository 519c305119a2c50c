/* archive.h - entries of a zip archive that are stored as they are (torch.save compresses nothing). */
#ifndef WEFT_FORMATS_ARCHIVE_H
#define WEFT_FORMATS_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/status.h"

/* Zero-initialise. Plain data: nothing to free. */
typedef struct Archive {
    const uint8_t *bytes; /* borrowed; NULL = not open */
    size_t size;
    size_t directory, entries; /* where the central directory lies; how many entries it has */
} Archive;

/* Finds the central directory (zip64 too). Errors: E_FORMAT. */
Status archive_open(const uint8_t *bytes, size_t size, Archive *out, Error *err);
/* The bytes of an entry by its whole name. Errors: E_MISSING, E_FORMAT, E_UNSUPPORTED (compressed). */
Status archive_find(const Archive *a, const char *name, const uint8_t **data, size_t *size,
                    Error *err);
/* The first entry whose name ends so; folder gets what stands before its last name, with the slash. */
Status archive_find_end(const Archive *a, const char *suffix, char *folder, size_t folder_size,
                        const uint8_t **data, size_t *size, Error *err);

#endif
