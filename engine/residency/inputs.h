/* inputs.h - files of the input folder: lists for menus, content hashes for caches. */
#ifndef WEFT_RESIDENCY_INPUTS_H
#define WEFT_RESIDENCY_INPUTS_H

#include "engine/residency/host.h"

/* Names of the files right in the input folder that end in one of the NULL-ended suffixes, sorted;
 * borrowed until the host goes. */
Status input_list(Host *h, const char *const *suffixes, const char *const **names,
                  size_t *count, Error *err);

/* The same for the output folder; each name ends in " [output]". */
Status output_list(Host *h, const char *const *suffixes, const char *const **names,
                   size_t *count, Error *err);

/* SHA-256 of a file named as in a workflow ("a.png [output]"), in hex. */
Status input_file_token(Host *h, const char *name, char token[65], Error *err);

#endif
