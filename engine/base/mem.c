/* mem.c - every heap call of the engine; counts them and can fail the N-th for tests. */
#include "engine/base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The one mutable file-scope state of the engine: a process has one heap, and these count it. */
static atomic_uint_fast64_t allocations;
static atomic_uint_fast64_t fail_number; /* allocation number from which all fail; 0 = none */
static atomic_int_fast64_t live, peak;   /* bytes held now, and the most since the last reset */

static void *count_in(void *p)
{
    int64_t size = p ? (int64_t)malloc_usable_size(p) : 0;
    int64_t now = atomic_fetch_add_explicit(&live, size, memory_order_relaxed) + size;
    int64_t most = atomic_load_explicit(&peak, memory_order_relaxed);

    while (now > most && !atomic_compare_exchange_weak_explicit(
                             &peak, &most, now, memory_order_relaxed, memory_order_relaxed))
        continue;
    return p;
}

static void count_out(void *p)
{
    int64_t size = p ? (int64_t)malloc_usable_size(p) : 0;

    atomic_fetch_sub_explicit(&live, size, memory_order_relaxed);
}

static bool may_allocate(void)
{
    uint64_t number = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed) + 1;
    uint64_t limit = atomic_load_explicit(&fail_number, memory_order_relaxed);

    return limit == 0 || number < limit;
}

void *mem_alloc(size_t size)
{
    return may_allocate() ? count_in(malloc(size ? size : 1)) : NULL;
}

void *mem_calloc(size_t count, size_t size)
{
    bool empty = count == 0 || size == 0;

    if (!may_allocate()) return NULL;
    return count_in(calloc(empty ? 1 : count, empty ? 1 : size));
}

void *mem_alloc_array(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    return mem_alloc(bytes);
}

void *mem_realloc(void *p, size_t size)
{
    void *moved;

    if (!may_allocate()) return NULL;
    count_out(p);
    moved = realloc(p, size ? size : 1);
    if (!moved) count_in(p); /* it stays where it was */
    return count_in(moved);
}

void *mem_aligned(size_t align, size_t size)
{
    void *p = NULL;

    if (align < sizeof(void *)) align = sizeof(void *);
    if (!may_allocate()) return NULL;
    return posix_memalign(&p, align, size ? size : 1) == 0 ? count_in(p) : NULL;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy = n < SIZE_MAX ? mem_alloc(n + 1) : NULL;

    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

void mem_free(void *p)
{
    count_out(p);
    free(p);
}

uint64_t mem_count(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

void mem_fail_at(uint64_t n)
{
    uint64_t limit = n ? mem_count() + n : 0;

    atomic_store_explicit(&fail_number, limit, memory_order_relaxed);
}

int64_t mem_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

void mem_foresee(size_t size)
{
    int64_t now = mem_live() + (int64_t)size;

    if (now > mem_peak()) atomic_store_explicit(&peak, now, memory_order_relaxed);
}

int64_t mem_peak(void)
{
    return atomic_load_explicit(&peak, memory_order_relaxed);
}

void mem_peak_reset(void)
{
    atomic_store_explicit(&peak, mem_live(), memory_order_relaxed);
}
