/* share.c - keeps the threads of OpenMP from spinning for long where cores are shared.
 *
 * A thread of libgomp that waits for the others spins for some milliseconds before it sleeps, unless the
 * environment says otherwise when the program is loaded. On a machine with other work that time is taken from
 * the very thread that is waited for: a run of many small operations becomes ten to a hundred times
 * slower. libgomp spins a three-hundredth of that when it manages more threads than there are
 * processors. So one idle team is kept beside the working one, just large enough to make that true.
 */
#include "kernels/kernels.h"

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_IDLE = 64 };

/* Makes the idle team and keeps its owner alive, without which libgomp gives it back. */
static void *idle(void *size)
{
    int threads = (int)(intptr_t)size, seen = 0;

#pragma omp parallel num_threads(threads) reduction(+ : seen)
    seen++;
    for (;;)
        pause();
    return NULL;
}

/* Signals are for the threads that were there before. */
static void start_idle(int size)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;

    if (pthread_attr_init(&attributes) != 0) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, &attributes, idle, (void *)(intptr_t)size);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

void k_share_cores(int threads)
{
    static atomic_flag done = ATOMIC_FLAG_INIT; /* libgomp's count is the process's, too */
    int idle_threads = omp_get_num_procs() - threads + 2;

    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    if (threads < 2 || idle_threads < 2 || idle_threads > MOST_IDLE) return;
    if (!atomic_flag_test_and_set(&done)) start_idle(idle_threads);
}
