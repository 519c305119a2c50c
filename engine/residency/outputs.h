/* outputs.h - names of written files by ComfyUI's rules: prefix variables, sub-folder, counter. */
#ifndef WEFT_RESIDENCY_OUTPUTS_H
#define WEFT_RESIDENCY_OUTPUTS_H

#include "engine/base/status.h"

typedef struct OutputName {
    char *folder;    /* owned; root joined with the sub-folder; exists */
    char *subfolder; /* owned; "" when the prefix names none */
    char *base;      /* owned; may hold %batch_num% */
    int64_t counter; /* 1 + the largest that exists */
} OutputName;

/* prefix may hold %width% %height% %year% %month% %day% %hour% %minute% %second% (local time) and a
 * folder part, which must stay inside root. make: the folder is created when it is missing.
 * Errors: E_RANGE (leaves root), E_IO, E_NOMEM. */
Status output_name_init(const char *root, const char *prefix, int64_t width, int64_t height,
                        bool make, OutputName *out, Error *err);
void output_name_fini(OutputName *n);

/* "<base>_00001_.png" with %batch_num% replaced; mem_free. */
char *output_file_name(const OutputName *n, int64_t batch_index, int64_t counter,
                       const char *extension);

#endif
