/* loops_table.c - which loops this processor can run. */
#include "engine/script/loops.h"

#include <stddef.h>

const Loops *loops_at(int i)
{
#if defined(__x86_64__)
    if (i == 1 && __builtin_cpu_supports("avx2")) return &loops_avx2;
#endif
    return i == 0 ? &loops_generic : NULL;
}

const Loops *loops_best(void)
{
    const Loops *wide = loops_at(1);
    return wide ? wide : loops_at(0);
}
