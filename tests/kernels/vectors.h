/* vectors.h - kernels against the reference implementation's own numbers. */
#ifndef WEFT_TESTS_KERNELS_VECTORS_H
#define WEFT_TESTS_KERNELS_VECTORS_H

/* Runs its own group; returns the number of failed tests. */
int vectors_run(void);

#endif
