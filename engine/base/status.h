/* status.h - result codes and the one diagnostic record that every layer fills. */
#ifndef WEFT_BASE_STATUS_H
#define WEFT_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every result code once: name, message. docs/errors.md is made from this list. */
#define STATUS_MAP(X)                                                                            \
    X(OK, "done")                                                                                \
    X(E_NOMEM, "out of memory")                                                                  \
    X(E_USAGE, "wrong usage")                                                                    \
    X(E_IO, "a file could not be opened, read or written")                                       \
    X(E_FORMAT, "malformed data")                                                                \
    X(E_TYPE, "value of the wrong type")                                                         \
    X(E_RANGE, "value out of range")                                                             \
    X(E_MISSING, "something that is needed is missing")                                          \
    X(E_SHAPE, "tensor shapes do not fit")                                                       \
    X(E_UNSUPPORTED, "known, but not supported")                                                 \
    X(E_LIMIT, "a limit was reached")                                                            \
    X(E_CANCELLED, "interrupted")                                                                \
    X(E_SCRIPT, "a script failed")                                                               \
    X(E_WORKFLOW, "the workflow is wrong")                                                       \
    X(E_INTERNAL, "internal error")

typedef enum Status {
#define STATUS_ENUM(name, message) name,
    STATUS_MAP(STATUS_ENUM)
#undef STATUS_ENUM
} Status;

typedef enum Severity { SEV_ERROR, SEV_WARNING, SEV_NOTE } Severity;

/* One diagnostic. The lowest layer sets status, message and fix; each layer above adds only
 * where it happened (error_at_*), and never overwrites what a lower layer knew better.
 * Plain arrays: an error can be reported when memory is short. Empty string = not known. */
typedef struct Error {
    Status status;
    Severity severity;
    char rule[8];         /* stable rule id such as "E205"; empty when no rule names it */
    char file[256];       /* path as the user wrote it */
    int64_t offset;       /* byte in file, -1 when unknown */
    int line, column;     /* from 1; 0 when unknown */
    char node[64];        /* node id in the workflow */
    char class_type[80];
    char title[80];       /* node title, for display */
    char input[80];
    char message[512];    /* what is wrong, in values; no trailing full stop */
    char fix[256];        /* the way out */
} Error;

/* Returns the name of a code ("E_RANGE") and its one-line message. */
const char *status_name(Status s);
const char *status_message(Status s);

/* Clears err (may be NULL). */
void error_clear(Error *err);

/* Fills err (may be NULL) with a formatted message and returns s, so that a failing function
 * can end in `return error_set(err, E_RANGE, "...", ...)`. Long text is cut, never overrun. */
Status error_set(Error *err, Status s, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds the way out. */
void error_fix(Error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add where it happened; a field that is already set stays. err may be NULL. */
void error_at_file(Error *err, const char *file, int64_t offset);
void error_at_node(Error *err, const char *node, const char *class_type);
void error_at_input(Error *err, const char *input);

/* Writes `file:line:col: severity RULE node 4 (KSampler): steps: message; fix` into buf, leaving
 * out what is not known. Returns the length, cut to size-1. */
size_t error_format(const Error *err, char *buf, size_t size);

/* Return at once when a call fails and nothing is held. */
#define TRY(call)                                                                                \
    do {                                                                                         \
        Status try_status_ = (call);                                                             \
        if (try_status_ != OK) return try_status_;                                               \
    } while (0)

/* The same where something is held: sets `status` and jumps to `done`. */
#define TRY_DONE(call)                                                                           \
    do {                                                                                         \
        status = (call);                                                                         \
        if (status != OK) goto done;                                                             \
    } while (0)

#endif
