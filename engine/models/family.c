/* family.c - what the families share: sizes from metadata, stages for tests. */
#include "engine/models/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"

/* A whole number of the configuration, or `usual` when it has none. */
static int64_t config_int(const Json *config, const char *key, int64_t usual)
{
    int64_t v = 0;
    const Json *node = json_get(config, key);
    return node && json_int64(node, &v) && v > 0 ? v : usual;
}

static void read_axes(const Json *config, PosLayout *l)
{
    const Json *axes = json_get(config, "axes_dim");
    int n = 0;

    if (!json_is(axes, JSON_ARRAY) || json_count(axes) > POS_MAX_AXES) return;
    for (const Json *a = json_first(axes); a; a = json_next(a)) {
        if (!json_int64(a, &l->width[n])) return;
        n++;
    }
    l->axes = n;
}

/* Metadata entry "config": the model's own configuration as JSON text. */
static Status read_config(const char *text, ModelDims *d, Error *err)
{
    JsonDoc *doc = NULL;

    TRY(json_parse(text, strlen(text), &doc, err));
    const Json *config = json_root(doc);
    if (json_is(config, JSON_OBJECT)) {
        d->heads = config_int(config, "num_heads", 0);
        d->positions.theta = (double)config_int(config, "theta", (int64_t)d->positions.theta);
        read_axes(config, &d->positions);
        const Json *scale = json_get(config, "ref_index_scale");
        if (json_is(scale, JSON_NUMBER)) d->positions.index_scale = json_double(scale);
        const Json *method = json_get(config, "default_ref_method");
        if (json_is(method, JSON_STRING))
            d->references = ref_method_from_name(json_string(method));
    }
    json_free(doc);
    return OK;
}

Status family_read_heads(const Weights *w, ModelDims *d, Error *err)
{
    const char *config = weights_metadata(w, "config");
    int64_t sum = 0;

    if (config) TRY(read_config(config, d, err));
    if (d->heads) d->head_dim = d->width / d->heads;
    if (!d->heads && d->head_dim) d->heads = d->width / d->head_dim;
    for (int a = 0; a < d->positions.axes; a++) {
        if (d->positions.width[a] <= 0 || d->positions.width[a] % 2)
            return error_set(err, E_FORMAT, "rotary axis %d has width %lld", a,
                             (long long)d->positions.width[a]);
        sum += d->positions.width[a];
    }
    if (d->heads < 1 || d->heads * d->head_dim != d->width || sum != d->head_dim)
        return error_set(
            err, E_FORMAT,
            "width %lld is not made of heads of %lld whose rotary axes sum to %lld",
            (long long)d->width, (long long)d->head_dim, (long long)sum);
    return OK;
}

int64_t family_context_pad(const Weights *w, int64_t usual)
{
    const char *text = weights_metadata(w, "weft.context_length");
    char *end = NULL;
    if (!text) return usual;
    long long v = strtoll(text, &end, 10);
    return end != text && *end == '\0' && v >= 0 && v <= 65536 ? v : usual;
}

Status family_dim(const Weights *w, const char *name, int dim, int64_t *out, Error *err)
{
    *out = weights_dim(w, name, dim);
    if (*out > 0) return OK;
    return error_set(err, E_FORMAT, "%s is missing or has no dimension %d", name, dim);
}

void family_stage(Program *p, const ForwardShape *s, ProgValue v, const char *format, ...)
{
    char name[96];
    va_list args;

    if (!s->stages) return;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    prog_output(p, name, prog_copy(p, &(PCopy){ .x = v }));
}
