/* progress.h - how the command line shows what happens: a bar, or JSON lines. */
#ifndef WEFT_CLI_PROGRESS_H
#define WEFT_CLI_PROGRESS_H

#include <stdio.h>

#include "engine/base/events.h"

/* A subscriber of the bus. Embedded; zero-initialise, then progress_init. */
typedef struct Progress {
    FILE *out;
    bool bar;     /* a line that is rewritten; else one line per saved file */
    bool open;    /* the bar's line is on the screen */
    double total; /* seconds spent in steps of this node */
    bool show;    /* draw saved pictures */
} Progress;

void progress_init(Progress *p, bool show); /* a bar on stderr when it is a terminal */
void progress_event(void *progress, const Event *event); /* EventFn */
void progress_json(void *file,
                   const Event *event); /* EventFn: one JSON object per line to a FILE */

#endif
