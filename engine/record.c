/* record.c - what a run had in its hands, kept per workflow file. */
#include "engine/record.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/graph/cache.h"

enum {
    SHOWN_TEXT = 300,       /* bytes of a text that are kept as they are */
    RUN_BYTES = 8 << 20,    /* of one run; a larger one is not recorded */
    FOLDER_BYTES = 64 << 20 /* of all records */
};

enum { ORIGIN_NONE, ORIGIN_RAN, ORIGIN_CACHE, ORIGIN_DISK };
static const char *const origin_words[] = { "not needed", "ran", "cache", "prompt cache" };

/* ---- listening ------------------------------------------------------------------------------- */

static void note_origin(Recorder *r, const Event *e, unsigned char origin)
{
    const char *id = e->display_node ? e->display_node : e->node;
    int node = id ? graph_find(r->graph, id) : -1;

    if (node < 0) return;
    r->origins[node] = origin;
    r->now = node + 1;
}

static void on_event(void *user, const Event *e)
{
    Recorder *r = user;

    if (e->kind == EV_EXECUTING) note_origin(r, e, ORIGIN_RAN);
    if (e->kind == EV_EXECUTION_CACHED) note_origin(r, e, ORIGIN_CACHE);
    if (e->kind == EV_COMPONENT && r->now && e->detail && !strcmp(e->detail, "prompt cache"))
        r->origins[r->now - 1] = ORIGIN_DISK;
}

void record_start(Recorder *r, const Graph *g, Events *events)
{
    *r = (Recorder){ .graph = g };
    r->origins = mem_calloc((size_t)g->count + 1, 1);
    if (r->origins && !events_listen(events, on_event, r)) {
        mem_free(r->origins);
        r->origins = NULL;
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_text(Str *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

/* A long text by its start and its digest. */
static void write_long(Str *out, const char *text, size_t n)
{
    uint8_t digest[32];
    char hex[65];
    Str cut = { 0 };
    size_t shown = SHOWN_TEXT;
    Sha256 h;

    sha256_init(&h);
    sha256_add(&h, text, n);
    sha256_end(&h, digest);
    sha256_hex(digest, hex);
    while (shown > 0 && ((unsigned char)text[shown] & 0xC0) == 0x80)
        shown--;
    str_add_n(&cut, text, shown);
    str_printf(&cut, "... (%zu bytes, %.12s)", n, hex);
    json_write_string(out, cut.text ? cut.text : "", cut.length);
    out->failed |= cut.failed;
    str_fini(&cut);
}

static void write_input(const GraphInput *in, Str *out, Str *scratch)
{
    write_text(out, in->name);
    str_add(out, ": ");
    if (in->is_link) {
        str_add_char(out, '[');
        write_text(out, in->origin_id ? in->origin_id : "");
        str_printf(out, ", %lld]", (long long)in->slot);
        return;
    }
    if (in->value.kind == LIT_TEXT && in->value.length > SHOWN_TEXT) {
        write_long(out, in->value.text, in->value.length);
        return;
    }
    str_clear(scratch);
    literal_write_json(scratch, &in->value);
    if (scratch->length > 2 * SHOWN_TEXT)
        write_long(out, scratch->text, scratch->length);
    else
        str_add_n(out, scratch->text ? scratch->text : "null",
                  scratch->text ? scratch->length : 4);
    out->failed |= scratch->failed;
}

static void write_node(const GraphNode *n, const CacheKey *key, const char *how, Str *out,
                       Str *scratch)
{
    char hex[65];

    write_text(out, n->id);
    str_add(out, ": {\"class\": ");
    write_text(out, n->class_type ? n->class_type : "");
    if (n->title) {
        str_add(out, ", \"title\": ");
        write_text(out, n->title);
    }
    sha256_hex(key->digest, hex);
    if (!key->never) str_printf(out, ", \"key\": \"%.32s\"", hex);
    if (n->changed) {
        str_add(out, ", \"token\": ");
        write_text(out, n->changed);
    }
    if (how) str_printf(out, ", \"how\": \"%s\"", how);
    str_add(out, ", \"inputs\": {");
    for (int i = 0; i < n->n_inputs; i++) {
        if (i) str_add(out, ", ");
        write_input(&n->inputs[i], out, scratch);
    }
    str_add(out, "}}");
}

Status record_describe(const Graph *g, const unsigned char *origins, bool ok, Str *out,
                       Error *err)
{
    CacheKey *keys = mem_calloc((size_t)g->count + 1, sizeof *keys);
    Status status = keys ? cache_keys(g, keys, err) : E_NOMEM;
    Str scratch = { 0 };

    str_printf(out, "{\"when\": %lld, \"ok\": %s, \"nodes\": {", (long long)time(NULL),
               ok ? "true" : "false");
    for (int i = 0; i < g->count && status == OK && !out->failed; i++) {
        if (i) str_add(out, ", ");
        write_node(&g->nodes[i], &keys[i], origins ? origin_words[origins[i]] : NULL, out,
                   &scratch);
    }
    str_add(out, "}}");
    str_fini(&scratch);
    mem_free(keys);
    return status == OK && !out->failed ? OK : error_set(err, E_NOMEM, "out of memory");
}

/* <cache folder>/runs/<digest>.json; NULL when the path names no file. */
static char *record_path(const char *cache_dir, const char *path, Str *full)
{
    char *real = realpath(path, NULL), hex[65];
    uint8_t digest[32];
    Sha256 h;

    if (!real) return NULL;
    str_add(full, real);
    sha256_init(&h);
    sha256_add(&h, real, strlen(real));
    sha256_end(&h, digest);
    sha256_hex(digest, hex);
    free(real); /* NOLINT: realpath's own */
    Str name = { 0 };
    str_printf(&name, "runs/%.32s.json", hex);
    char *out = name.failed || full->failed ? NULL : file_join(cache_dir, name.text);
    str_fini(&name);
    return out;
}

/* The last run of the record before, which becomes the one before the last. */
static void add_previous(const char *file, Str *out)
{
    char *text = NULL;
    size_t size = 0;
    JsonDoc *doc = NULL;

    if (file_read(file, 4 * (size_t)RUN_BYTES, &text, &size, NULL) != OK) return;
    if (json_parse(text, size, &doc, NULL) == OK) {
        const Json *runs = json_get(json_root(doc), "runs"),
                   *last = runs ? json_first(runs) : NULL;
        if (json_is(last, JSON_OBJECT)) {
            str_add(out, ", ");
            json_write(out, last);
        }
    }
    json_free(doc);
    mem_free(text);
}

static void save(const char *cache_dir, const char *path, const Str *run)
{
    Str full = { 0 }, out = { 0 };
    char *file = record_path(cache_dir, path, &full), *folder = file_join(cache_dir, "runs");

    if (file && folder && run->length <= RUN_BYTES && file_make_dirs(folder, NULL) == OK) {
        str_add(&out, "{\"version\": 1, \"path\": ");
        write_text(&out, full.text);
        str_add(&out, ", \"runs\": [");
        str_add_n(&out, run->text, run->length);
        add_previous(file, &out);
        str_add(&out, "]}\n");
        if (!out.failed && file_write(file, out.text, out.length, NULL) == OK)
            file_trim_folder(folder, ".json", FOLDER_BYTES);
    }
    str_fini(&full);
    str_fini(&out);
    mem_free(file);
    mem_free(folder);
}

void record_stop(Recorder *r, Events *events, const char *cache_dir, const char *path, bool ok)
{
    Str run = { 0 };

    if (!r->origins) return;
    events_unlisten(events, on_event, r);
    if (cache_dir && path && file_exists(path) &&
        record_describe(r->graph, r->origins, ok, &run, NULL) == OK)
        save(cache_dir, path, &run);
    str_fini(&run);
    mem_free(r->origins);
    r->origins = NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

Status record_load(const char *cache_dir, const char *path, JsonDoc **out, Error *err)
{
    Str full = { 0 };
    char *file = record_path(cache_dir, path, &full), *text = NULL;
    size_t size = 0;
    int64_t version = 0;

    *out = NULL;
    if (file && file_exists(file) &&
        file_read(file, 4 * (size_t)RUN_BYTES, &text, &size, NULL) == OK &&
        json_parse(text, size, out, NULL) == OK) {
        if (!json_int64(json_get(json_root(*out), "version"), &version) || version != 1) {
            json_free(*out);
            *out = NULL;
        }
    }
    bool memory = !full.failed;
    str_fini(&full);
    mem_free(text);
    mem_free(file);
    return memory ? OK : error_set(err, E_NOMEM, "out of memory");
}
