/* suite.h - the groups of the VAE suite, and what their files share. */
#ifndef WEFT_VAE_SUITE_H
#define WEFT_VAE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/tensor/ops.h"
#include "engine/vae/vae.h"

int group_vae(void);
int group_tiling(void);

/* <shared>/vectors/vae/<name> into buf; skips the test when the folder is absent. */
void vector_path(const char *name, char *buf, size_t size);
Weights *open_vector(const char *name);
Host *open_host(bool exact, bool dummy);
Tensor *load(const Weights *w, const char *name);

#endif
