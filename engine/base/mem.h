/* mem.h - every heap call of the engine; counts them and can fail the N-th for tests. */
#ifndef WEFT_BASE_MEM_H
#define WEFT_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Each returns NULL when memory is out (or a test asked for it); size 0 gives a valid pointer.
 * The *_array forms refuse count * size that overflows. mem_free(NULL) is allowed. */
void *mem_alloc(size_t size);
void *mem_calloc(size_t count, size_t size);
void *mem_alloc_array(size_t count, size_t size);
void *mem_realloc(void *p, size_t size);
void *mem_aligned(size_t align, size_t size); /* freed by mem_free as well */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
void mem_free(void *p);

/* Number of allocations since start: a test holds a sampler step to zero of them. */
uint64_t mem_count(void);

/* Bytes held now, and the most that were held since the last reset. */
int64_t mem_live(void);
int64_t mem_peak(void);
void mem_peak_reset(void);
/* Counts a block that a real run holds for a moment and a dummy run does without: it enters the peak. */
void mem_foresee(size_t size);

/* Tests only: the n-th allocation from now (1 = the next) and all after it fail; 0 turns it off. */
void mem_fail_at(uint64_t n);

#endif
