/* events.h - the one bus on which all progress leaves: bar, --json lines and server listen to it. */
#ifndef WEFT_BASE_EVENTS_H
#define WEFT_BASE_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/status.h"

typedef enum EventKind {
    EV_EXECUTION_START,   /* count = nodes to run */
    EV_EXECUTION_CACHED,  /* node = one cached node */
    EV_EXECUTING,         /* node, class_type */
    EV_PROGRESS,          /* node, step of steps, seconds = last step */
    EV_EXECUTED,          /* node; text = its UI output */
    EV_SAVED,             /* node, path = file written */
    EV_FIRST_MATMUL,      /* seconds since exec */
    EV_COMPONENT,         /* text = name, detail = zone entered, bytes; object = the Component */
    EV_NOTE,              /* text: something the user should know */
    EV_BLOCKED,           /* node was stopped by a blocker, text = its message; the run goes on */
    EV_PROGRAM,           /* dummy runs: object = the Program that a real run executes here */
    EV_EXECUTION_SUCCESS, /* seconds */
    EV_EXECUTION_ERROR,   /* error */
    EV_EXECUTION_INTERRUPTED
} EventKind;

typedef struct Event {
    EventKind kind;
    const char *node, *class_type, *text, *detail, *path; /* borrowed for the call; NULL = none */
    const char *display_node; /* of a node that came by expansion: the one of the file it stands for */
    int64_t step, steps, count, bytes;
    double seconds;
    const Error *error;
    const void *object; /* what it is about; borrowed for the call */
} Event;

typedef void (*EventFn)(void *user, const Event *event);

enum { EVENTS_MAX_LISTENERS = 8 };

/* Listeners are called in order on the thread that emits. Embedded in the host; zero-initialise. */
typedef struct Events {
    struct {
        EventFn fn;
        void *user;
    } listeners[EVENTS_MAX_LISTENERS];
    int count;
    atomic_bool cancel; /* set by a signal handler or a server thread, read between operations */
    atomic_bool matmul_seen; /* EV_FIRST_MATMUL was emitted */
} Events;

bool events_listen(Events *ev, EventFn fn, void *user); /* false when full */
void events_unlisten(Events *ev, EventFn fn, const void *user);
void events_emit(Events *ev, const Event *event);       /* ev may be NULL */
const char *event_name(EventKind kind);                 /* "executing", "first_matmul", ... */
double events_seconds_since_exec(void);                 /* wall time since the process started */

#endif
