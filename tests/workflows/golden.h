/* golden.h - runs a saved workflow and compares what it wrote with the reference's own results. */
#ifndef WEFT_TESTS_WORKFLOWS_GOLDEN_H
#define WEFT_TESTS_WORKFLOWS_GOLDEN_H

#include "engine/session.h"

/* A folder with workflows/, expected/, input/ and models/. */
typedef struct Golden {
    char root[512];
    char output[512]; /* temporary folder of this process */
    Session session;
} Golden;

/* False when the folder is not there. */
bool golden_open(Golden *g, const char *root, const char *precision, int threads);
void golden_close(Golden *g);

/* Runs workflows/<name>.json after `changes` ("7.seed=3", NULL-ended; may be NULL). Fails the test on an error. */
void golden_run(Golden *g, const char *name, const char *const *changes);

/* Every tensor of expected/<name>.safetensors against the .latent files; relative L2 <= tolerance. Returns
 * the worst. */
double golden_compare_latents(Golden *g, const char *name, double tolerance);
/* Every expected/<name>_0000N_.png: |difference| <= 1 for 99.9 % of bytes and <= 3 everywhere. */
void golden_compare_pictures(Golden *g, const char *name);

/* One written latent against one tensor of a file. */
double golden_latent_error(Golden *g, const char *file, const char *expected_file,
                           const char *tensor);

#endif
