/* vectors.c - reads one area of the shared vectors: its JSON and its tensors. */
#include "tests/unit/sampling/vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/formats/safetensors.h"

static void path_of(char *buf, size_t size, const char *area, const char *name, const char *ext)
{
    const char *shared = getenv("WEFT_SHARED");

    if (shared)
        snprintf(buf, size, "%s/vectors/%s/%s.%s", shared, area, name, ext);
    else
        snprintf(buf, size, "%s/../shared/vectors/%s/%s.%s", WEFT_SOURCE_ROOT, area, name, ext);
}

void ok(Status s, const Error *err)
{
    if (s != OK) fail_msg("%s: %s", status_name(s), err->message);
}

void vectors_open(Vectors *v, const char *area, const char *name)
{
    char path[1024], *bytes;
    size_t size;
    Error err = { 0 };

    memset(v, 0, sizeof *v);
    path_of(path, sizeof path, area, name, "json");
    if (!file_exists(path)) {
        print_message("no vectors at %s\n", path);
        skip();
    }
    ok(file_read(path, 1 << 28, &bytes, &size, &err), &err);
    ok(json_parse(bytes, size, &v->json, &err), &err);
    mem_free(bytes);
    path_of(path, sizeof path, area, name, "safetensors");
    if (!file_exists(path)) return;
    ok(file_map(path, &v->map, &err), &err);
    ok(safetensors_parse(v->map->data, v->map->size, &v->tensors, &err), &err);
}

void vectors_close(Vectors *v)
{
    json_free(v->json);
    safetensors_free(v->tensors);
    ref_drop(v->map);
}

Tensor *vectors_tensor(const Vectors *v, const char *name)
{
    Error err = { 0 };
    Tensor *t;

    for (size_t i = 0; i < v->tensors->count; i++) {
        const SafeTensor *s = &v->tensors->tensors[i];
        if (strcmp(s->name, name)) continue;
        ok(tensor_new(s->type, s->ndim, s->shape, &t, &err), &err);
        memcpy(t->data, s->data, s->size);
        return t;
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

Tensor *vectors_at(const Vectors *v, const Json *item, const char *key)
{
    return vectors_tensor(v, text(item, key));
}

double number_of(const Json *value)
{
    const char *s = json_is(value, JSON_STRING) ? json_string(value) : NULL;

    if (!s) return json_double(value);
    if (!strcmp(s, "nan")) return NAN;
    return s[0] == '-' ? -INFINITY : INFINITY;
}

double num(const Json *item, const char *key, double otherwise)
{
    const Json *v = json_get(item, key);
    return !v || json_is(v, JSON_NULL) ? otherwise : number_of(v);
}

uint64_t num_u64(const Json *item, const char *key)
{
    uint64_t v = 0;
    int64_t i = 0;
    if (json_uint64(json_get(item, key), &v)) return v;
    if (!json_int64(json_get(item, key), &i)) fail_msg("%s is no integer", key);
    return (uint64_t)i;
}

bool flag(const Json *item, const char *key)
{
    const Json *v = json_get(item, key);
    return v && json_is(v, JSON_BOOL) && json_bool(v);
}

const char *text(const Json *item, const char *key)
{
    const Json *v = json_get(item, key);
    return v && json_is(v, JSON_STRING) ? json_string(v) : NULL;
}

double worst(const float *a, const float *b, int64_t n)
{
    double most = 0;

    for (int64_t i = 0; i < n; i++) {
        if ((isnan(a[i]) && isnan(b[i])) || a[i] == b[i]) continue;
        double d = fabs((double)a[i] - (double)b[i]);
        if (isnan(d)) return INFINITY;
        if (d > most) most = d;
    }
    return most;
}

int64_t ulps(float a, float b)
{
    int32_t x, y;

    if ((isnan(a) && isnan(b)) || a == b) return 0;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    int64_t i = x < 0 ? INT64_C(0) - (x & 0x7fffffff) : x;
    int64_t j = y < 0 ? INT64_C(0) - (y & 0x7fffffff) : y;
    return i > j ? i - j : j - i;
}

ModelSampling *vectors_model(const Json *model)
{
    ModelSampling *m = NULL;
    Error err = { 0 };
    double shift = num(model, "shift", 1);

    if (!strcmp(text(model, "type"), "flux"))
        ok(model_sampling_flux(shift, &m, &err), &err);
    else
        ok(model_sampling_flow(shift, num(model, "multiplier", 1000), &m, &err), &err);
    return m;
}
