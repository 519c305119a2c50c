/* file_name.h - what the name of a model file tells about its contents. */
#ifndef WEFT_FORMATS_FILE_NAME_H
#define WEFT_FORMATS_FILE_NAME_H

#include "kernels/kernels.h"

/* The number format of the file's matrices, by the words that publishers use: "fp8", "e5m2", GGUF's types ("Q4_K_M" is
 * Q4_K), "nf4", "int8", "fp16", "fp32". BF16 when the name tells none. For dummy runs of files that are not there. */
KDtype file_name_dtype(const char *name);

#endif
