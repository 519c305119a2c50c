/* speed.h - how long a program will take on this machine, from a short calibration.
 *
 * Each kind of operation, with the dtypes it is given, has a curve: work per second over the size of the
 * work, measured with one-operation programs on the backend that will run. A matrix product has a curve
 * for each of several row counts, because a product of one row is bound by memory and one of a thousand
 * rows by arithmetic. Between measured points the logarithm of the rate is interpolated. Curves are
 * measured when they are first needed and kept in a text file.
 */
#ifndef WEFT_PROGRAM_SPEED_H
#define WEFT_PROGRAM_SPEED_H

#include "engine/program/program.h"

typedef struct Speed Speed;

typedef struct SpeedOptions {
    const KBackend *backend;
    int threads;
    const char *
        machine; /* one line: processor, threads, version; curves of another line are not taken */
    const char *path; /* file of the curves; NULL = nothing is kept */
    bool fresh;       /* measure all again */
} SpeedOptions;

/* Strings are copied. A file that is missing, foreign or broken counts as empty. */
Status speed_open(const SpeedOptions *o, Speed **out, Error *err);
void speed_free(Speed *s);

/* Seconds of one run; measures what is not known yet. A program need not have contents. */
Status speed_program(Speed *s, const Program *p, double *seconds, Error *err);
/* Seconds in which the system hands out fresh memory, and maps pages of files that are in memory already. */
Status speed_touch(Speed *s, int64_t fresh, int64_t mapped, double *seconds, Error *err);
/* Seconds that measuring took so far. */
double speed_spent(const Speed *s);
/* A curve that was used was measured while other work kept the processors busy; it will be measured again
 * when the machine is calm. */
bool speed_is_rough(const Speed *s);

/* Writes the file when something was measured. */
Status speed_save(const Speed *s, Error *err);

#endif
