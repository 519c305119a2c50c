/* embedded.h - the scripts of lua/ as they were when the engine was built. */
#ifndef WEFT_SCRIPT_EMBEDDED_H
#define WEFT_SCRIPT_EMBEDDED_H

#include <stddef.h>

typedef struct EmbeddedScript {
    const char *file; /* "lua/schedulers/velocity.lua" */
    const char *text;
    size_t size;
} EmbeddedScript;

extern const EmbeddedScript script_embedded[];
extern const size_t script_embedded_count;

#endif
