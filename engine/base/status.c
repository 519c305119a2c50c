/* status.c - result codes and the one diagnostic record that every layer fills. */
#include "engine/base/status.h"

#include <stdio.h>
#include <string.h>

#define STATUS_NAME(name, message) #name,
#define STATUS_MESSAGE(name, message) message,
static const char *const names[] = { STATUS_MAP(STATUS_NAME) };
static const char *const messages[] = { STATUS_MAP(STATUS_MESSAGE) };

static const char *const severities[] = { "error", "warning", "note" };

enum { STATUS_COUNT = sizeof names / sizeof names[0] };

const char *status_name(Status s)
{
    return (unsigned)s < STATUS_COUNT ? names[s] : "E_INTERNAL";
}

const char *status_message(Status s)
{
    return (unsigned)s < STATUS_COUNT ? messages[s] : "internal error";
}

void error_clear(Error *err)
{
    if (!err) return;
    memset(err, 0, sizeof *err);
    err->offset = -1;
}

/* A cut text must not end inside a UTF-8 sequence: JSON and terminals would choke on it. */
static void trim_partial_utf8(char *text)
{
    size_t n = strlen(text), tail = 0;
    unsigned char lead;

    while (tail < 3 && tail < n && ((unsigned char)text[n - 1 - tail] & 0xC0) == 0x80)
        tail++;
    if (tail >= n) return;
    lead = (unsigned char)text[n - 1 - tail];
    if ((lead >= 0xC0 && tail < 1) || (lead >= 0xE0 && tail < 2) || (lead >= 0xF0 && tail < 3))
        text[n - 1 - tail] = '\0';
}

__attribute__((format(printf, 3, 0))) static void print_into(char *buf, size_t size,
                                                             const char *format, va_list args)
{
    int n = vsnprintf(buf, size, format, args);

    if (n < 0) buf[0] = '\0';
    if (n >= 0 && (size_t)n >= size) trim_partial_utf8(buf);
}

static void fill(char *field, size_t size, const char *text)
{
    size_t n = strlen(text);

    if (n >= size) n = size - 1;
    memcpy(field, text, n);
    field[n] = '\0';
    if (text[n] != '\0') trim_partial_utf8(field);
}

static void fill_if_empty(char *field, size_t size, const char *text)
{
    if (field[0] == '\0' && text) fill(field, size, text);
}

Status error_set(Error *err, Status s, const char *format, ...)
{
    va_list args;

    if (!err) return s;
    error_clear(err);
    err->status = s;
    va_start(args, format);
    print_into(err->message, sizeof err->message, format, args);
    va_end(args);
    return s;
}

void error_fix(Error *err, const char *format, ...)
{
    va_list args;

    if (!err) return;
    va_start(args, format);
    print_into(err->fix, sizeof err->fix, format, args);
    va_end(args);
}

void error_at_file(Error *err, const char *file, int64_t offset)
{
    if (!err) return;
    fill_if_empty(err->file, sizeof err->file, file);
    if (err->offset < 0) err->offset = offset;
}

void error_at_node(Error *err, const char *node, const char *class_type)
{
    if (!err) return;
    fill_if_empty(err->node, sizeof err->node, node);
    fill_if_empty(err->class_type, sizeof err->class_type, class_type);
}

void error_at_input(Error *err, const char *input)
{
    if (err) fill_if_empty(err->input, sizeof err->input, input);
}

/* Appends at *at, which may run past size as snprintf's result does. */
__attribute__((format(printf, 4, 5))) static void append(char *buf, size_t size, size_t *at,
                                                         const char *format, ...)
{
    va_list args;
    int n;

    if (*at >= size) return;
    va_start(args, format);
    n = vsnprintf(buf + *at, size - *at, format, args);
    va_end(args);
    if (n > 0) *at += (size_t)n;
}

static void append_place(const Error *err, char *buf, size_t size, size_t *at)
{
    if (!err->file[0]) return;
    append(buf, size, at, "%s:", err->file);
    if (err->line > 0) {
        append(buf, size, at, "%d:", err->line);
        if (err->column > 0) append(buf, size, at, "%d:", err->column);
    } else if (err->offset >= 0) {
        append(buf, size, at, " byte %lld:", (long long)err->offset);
    }
    append(buf, size, at, " ");
}

static void append_node(const Error *err, char *buf, size_t size, size_t *at)
{
    if (err->node[0]) {
        append(buf, size, at, " node %s", err->node);
        if (err->class_type[0]) append(buf, size, at, " (%s)", err->class_type);
    } else if (err->class_type[0]) {
        append(buf, size, at, " %s", err->class_type);
    }
}

size_t error_format(const Error *err, char *buf, size_t size)
{
    size_t at = 0;
    unsigned severity = (unsigned)err->severity;

    if (size == 0) return 0;
    buf[0] = '\0';
    append_place(err, buf, size, &at);
    append(buf, size, &at, "%s", severities[severity < 3 ? severity : 0]);
    if (err->rule[0]) append(buf, size, &at, " %s", err->rule);
    append_node(err, buf, size, &at);
    if (err->input[0]) append(buf, size, &at, ": %s", err->input);
    append(buf, size, &at, ": %s",
           err->message[0] ? err->message : status_message(err->status));
    if (err->fix[0]) append(buf, size, &at, "; %s", err->fix);
    if (at >= size) trim_partial_utf8(buf);
    return strlen(buf);
}
