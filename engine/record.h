/* record.h - what a run had in its hands, node by node, kept per workflow file for `weft why`.
 *
 * A record is JSON in <cache folder>/runs, named by the digest of the file's full path: the last run and the
 * one before it. Per node: class, title, key, inputs (long texts by their start and digest), the token from
 * outside, and where its result came from.
 *
 *   {"version": 1, "path": "/home/...", "runs": [{"when": 1763748000, "ok": true, "nodes": {"3":
 *     {"class": "KSampler", "key": "ab12...", "how": "ran", "inputs": {"seed": 5, "model": ["4", 0]}}}}, ...]}
 */
#ifndef WEFT_RECORD_H
#define WEFT_RECORD_H

#include "engine/base/events.h"
#include "engine/base/json.h"
#include "engine/graph/graph.h"

/* Notes during a run where results come from. Zero-initialise but for graph. */
typedef struct Recorder {
    const Graph *graph;     /* borrowed */
    unsigned char *origins; /* owned; per node, of the words of "how" */
    int now;                /* node that runs, + 1 */
} Recorder;

/* Listens until record_stop. Without memory nothing is recorded. */
void record_start(Recorder *r, const Graph *g, Events *events);
/* Ends listening and writes the record; cache_dir or path NULL: only ends. What cannot be written is not
 * recorded. The graph has its tokens (run_tokens). */
void record_stop(Recorder *r, Events *events, const char *cache_dir, const char *path, bool ok);

/* A run as JSON text: the graph as it is, `how` left out where origins is NULL. Errors: E_NOMEM. */
Status record_describe(const Graph *g, const unsigned char *origins, bool ok, Str *out,
                       Error *err);

/* The record of a file; *out stays NULL when there is none. Errors: E_NOMEM, E_IO. */
Status record_load(const char *cache_dir, const char *path, JsonDoc **out, Error *err);

#endif
