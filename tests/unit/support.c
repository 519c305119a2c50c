/* support.c - what suites share. */
#include "tests/unit/support.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"

bool shared_path(const char *relative, char *buf, size_t size)
{
    const char *shared = getenv("WEFT_SHARED");
    snprintf(buf, size, "%s/%s", shared ? shared : WEFT_SOURCE_ROOT "/../shared", relative);
    return file_exists(buf);
}

void assert_ok(Status s, const Error *err)
{
    char text[1200];
    if (s == OK) return;
    error_format(err, text, sizeof text);
    fail_msg("%s: %s", status_name(s), text);
}

JsonDoc *json_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    JsonDoc *doc = NULL;
    Error err = { 0 };
    assert_ok(file_read(path, (size_t)1 << 28, &text, &size, &err), &err);
    Status s = json_parse(text, size, &doc, &err);
    mem_free(text);
    assert_ok(s, &err);
    return doc;
}

void vectors_open(Vectors *v, const char *area, const char *name)
{
    char relative[256], path[1024];
    Error err = { 0 };
    memset(v, 0, sizeof *v);
    snprintf(relative, sizeof relative, "vectors/%s/%s.json", area, name);
    if (!shared_path(relative, path, sizeof path)) {
        print_message("skipped: %s is not here\n", relative);
        skip();
    }
    v->doc = json_file(path);
    snprintf(relative, sizeof relative, "vectors/%s/%s.safetensors", area, name);
    if (shared_path(relative, path, sizeof path))
        assert_ok(weights_open(path, NULL, &v->tensors, &err), &err);
}

void vectors_close(Vectors *v)
{
    json_free(v->doc);
    weights_unref(v->tensors);
    memset(v, 0, sizeof *v);
}

/* Numbers of integer tensors, which the weights table does not widen. */
static void widen_bytes(const Weights *w, const char *name, float *out, int64_t count)
{
    KView view;
    Error err = { 0 };
    assert_ok(weights_view(w, name, &view, &err), &err);
    for (int64_t i = 0; i < count; i++)
        out[i] = view.dtype == K_U8 ? (float)((const uint8_t *)view.data)[i]
                                    : (float)((const int64_t *)view.data)[i];
}

Tensor *vectors_tensor(const Vectors *v, const char *name)
{
    int64_t shape[K_MAX_DIMS];
    Tensor *t = NULL;
    Error err = { 0 };
    int ndim = weights_shape(v->tensors, name, shape);
    KDtype type = weights_dtype(v->tensors, name);
    if (ndim < 0) fail_msg("no tensor %s", name);
    assert_ok(tensor_new(K_F32, ndim, shape, &t, &err), &err);
    if (type == K_U8 || type == K_I64)
        widen_bytes(v->tensors, name, tensor_f32(t), tensor_count(t));
    else
        assert_ok(weights_f32_into(v->tensors, name, tensor_f32(t), tensor_count(t), &err),
                  &err);
    return t;
}

static void check_shapes(const Tensor *a, const Tensor *b)
{
    char left[128], right[128];
    if (tensor_same_shape(a, b)) return;
    tensor_describe(a, left, sizeof left);
    tensor_describe(b, right, sizeof right);
    fail_msg("shapes differ: %s and %s", left, right);
}

double tensor_max_diff(const Tensor *a, const Tensor *b)
{
    double worst = 0;
    check_shapes(a, b);
    for (int64_t i = 0; i < tensor_count(a); i++) {
        double d = fabs((double)tensor_f32(a)[i] - (double)tensor_f32(b)[i]);
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

double tensor_rel_diff(const Tensor *a, const Tensor *b)
{
    double diff = 0, norm = 0;
    check_shapes(a, b);
    for (int64_t i = 0; i < tensor_count(a); i++) {
        double x = (double)tensor_f32(a)[i], y = (double)tensor_f32(b)[i];
        diff += (x - y) * (x - y);
        norm += y * y;
    }
    return sqrt(diff) / (sqrt(norm) + 1e-30);
}

double param_number(const Json *params, const char *name, double fallback)
{
    const Json *v = json_get(params, name);
    return json_is(v, JSON_NUMBER) ? json_double(v) : fallback;
}

const char *param_text(const Json *params, const char *name, const char *fallback)
{
    const Json *v = json_get(params, name);
    return json_is(v, JSON_STRING) ? json_string(v) : fallback;
}

bool param_bool(const Json *params, const char *name, bool fallback)
{
    const Json *v = json_get(params, name);
    return json_is(v, JSON_BOOL) ? json_bool(v) : fallback;
}
