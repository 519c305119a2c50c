/* events.c - the one bus on which all progress leaves: bar, --json lines and server listen to it. */
#include "engine/base/events.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {
    [EV_EXECUTION_START] = "execution_start",
    [EV_EXECUTION_CACHED] = "execution_cached",
    [EV_EXECUTING] = "executing",
    [EV_PROGRESS] = "progress",
    [EV_EXECUTED] = "executed",
    [EV_SAVED] = "saved",
    [EV_FIRST_MATMUL] = "first_matmul",
    [EV_COMPONENT] = "component",
    [EV_NOTE] = "note",
    [EV_BLOCKED] = "execution_blocked",
    [EV_PROGRAM] = "program",
    [EV_EXECUTION_SUCCESS] = "execution_success",
    [EV_EXECUTION_ERROR] = "execution_error",
    [EV_EXECUTION_INTERRUPTED] = "execution_interrupted",
};

_Static_assert(sizeof names / sizeof names[0] == EV_EXECUTION_INTERRUPTED + 1, "a name each");

bool events_listen(Events *ev, EventFn fn, void *user)
{
    if (ev->count >= EVENTS_MAX_LISTENERS) return false;
    ev->listeners[ev->count].fn = fn;
    ev->listeners[ev->count].user = user;
    ev->count++;
    return true;
}

void events_unlisten(Events *ev, EventFn fn, const void *user)
{
    int kept = 0;

    for (int i = 0; i < ev->count; i++)
        if (ev->listeners[i].fn != fn || ev->listeners[i].user != user)
            ev->listeners[kept++] = ev->listeners[i];
    ev->count = kept;
}

void events_emit(Events *ev, const Event *event)
{
    if (!ev) return;
    for (int i = 0; i < ev->count; i++)
        ev->listeners[i].fn(ev->listeners[i].user, event);
}

const char *event_name(EventKind kind)
{
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "note";
}

/* Start of the process in clock ticks since boot: field 22 of /proc/self/stat, counted from the
 * last ')' because the program's name (field 2) may hold blanks. 0 when it cannot be read. */
static double start_ticks(void)
{
    char buf[1024];
    FILE *f = fopen("/proc/self/stat", "r");
    size_t n = f ? fread(buf, 1, sizeof buf - 1, f) : 0;
    const char *p;
    unsigned long long ticks = 0;

    if (f) fclose(f);
    buf[n] = '\0';
    p = strrchr(buf, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (!p || sscanf(p, "%llu", &ticks) != 1) return 0;
    return (double)ticks;
}

double events_seconds_since_exec(void)
{
    struct timespec now;
    double start = start_ticks() / (double)sysconf(_SC_CLK_TCK), seconds;

    clock_gettime(CLOCK_BOOTTIME, &now);
    seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9 - start;
    return start > 0 && seconds > 0 ? seconds : 0;
}
