/* launch.h - starts the built program as a user does and keeps what it said. */
#ifndef WEFT_TESTS_WORKFLOWS_LAUNCH_H
#define WEFT_TESTS_WORKFLOWS_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

enum { LAUNCH_ARGS_MAX = 64, LAUNCH_TEXT_MAX = 1 << 20 };

/* Folders of one test; a temporary one that is removed with all it holds. */
typedef struct Launch {
    const char *program; /* borrowed: path of weft */
    const char *source;  /* borrowed: root of the source tree */
    char folder[300];    /* scratch; holds "out" and whatever a test puts there */
    char output[320];    /* folder/out */
    /* For the next start, and cleared by it. */
    long long file_limit; /* bytes that one file may reach; 0 = any */
    const char
        *wait_for;     /* SIGINT once this text stands on standard output; NULL = no signal */
    int interrupt_after; /* SIGINT after so many milliseconds; 0 = no signal */
    int signal;          /* what is sent in place of SIGINT; 0 = that */
    const char *input; /* what stands on standard input, NULL = nothing */
    /* What the last start gave. */
    int status;      /* exit status, or 128 + signal */
    char *out, *err; /* owned; standard output and error */
} Launch;

void launch_open(Launch *l, const char *program, const char *source);
void launch_close(Launch *l);

/* Runs `weft args...`; args end with NULL. */
void launch(Launch *l, const char *const *args);
/* weft COMMAND FILE with tests/data/models, graphs/input, the output folder, exact precision and two threads,
 * then extra (NULL-ended, or NULL). */
void launch_workflow(Launch *l, const char *command, const char *file,
                     const char *const *extra);

/* A file of the scratch folder with these bytes; gives its path, which lives until the next call. */
const char *launch_write(Launch *l, const char *name, const void *bytes, size_t n);
/* Number of files under the output folder, folders not counted. */
int launch_outputs(const Launch *l);
/* Removes them. */
void launch_clear(Launch *l);
/* Fails the running test, showing what was said, unless the status is this one and each text of the NULL-ended list
 * stands in standard error. */
void launch_expect(const Launch *l, int status, const char *const *texts);

#endif
