/* main.c - runner of the model suite; an argument filters tests by name. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"

void vector_path(const char *name, char *buf, size_t size)
{
    const char *root = getenv("WEFT_SHARED");
    if (root)
        snprintf(buf, size, "%s/vectors/%s", root, name);
    else
        snprintf(buf, size, "%s/../shared/vectors/%s", WEFT_SOURCE_ROOT, name);
    if (!file_exists(buf)) {
        print_message("no %s\n", buf);
        skip();
    }
}

Weights *open_file(const char *path)
{
    Weights *w = NULL;
    Error err = { 0 };
    if (weights_open(path, NULL, &w, &err) != OK) fail_msg("%s: %s", path, err.message);
    return w;
}

Weights *open_with_config(const char *path, const char *config)
{
    char *bytes = NULL, name[64];
    size_t n = 0;
    uint64_t header = 0;
    Str s = { 0 };
    Error err = { 0 };

    if (file_read(path, (size_t)1 << 28, &bytes, &n, &err) != OK) fail_msg("%s", err.message);
    memcpy(&header, bytes, sizeof header); /* little-endian, as the machine */
    str_printf(&s, "{\"__metadata__\":{\"config\":\"%s\"},%.*s", config, (int)header - 1,
               bytes + 9);
    while (s.length % 8)
        str_add(&s, " ");
    snprintf(name, sizeof name, "/tmp/weft-config-%d.safetensors", (int)getpid());
    FILE *f = fopen(name, "wb");
    uint64_t length = s.length;
    assert_non_null(f);
    fwrite(&length, 1, sizeof length, f);
    fwrite(s.text, 1, s.length, f);
    fwrite(bytes + 8 + header, 1, n - 8 - header, f);
    fclose(f);
    Weights *w = open_file(name);
    unlink(name);
    str_fini(&s);
    mem_free(bytes);
    return w;
}

Host *open_host(bool exact, bool dummy)
{
    Host *h = NULL;
    Error err = { 0 };
    HostOptions o = { .precision = exact ? PRECISION_EXACT : PRECISION_FAST,
                      .threads = 2,
                      .device = "cpu",
                      .dummy = dummy };
    if (host_new(&o, &h, &err) != OK) fail_msg("%s", err.message);
    return h;
}

Tensor *load(const Weights *w, const char *name)
{
    int64_t shape[K_MAX_DIMS];
    Tensor *t = NULL;
    Error err = { 0 };
    int n = weights_shape(w, name, shape);
    assert_true(n >= 0);
    assert_int_equal(tensor_new(K_F32, n, shape, &t, NULL), OK);
    if (weights_f32_into(w, name, tensor_f32(t), tensor_count(t), &err) != OK)
        fail_msg("%s", err.message);
    return t;
}

void agree_exactly(const VectorCase *cases, int n, RunVector *run)
{
    for (int i = 0; i < n; i++) {
        double d = run(cases[i].weights, cases[i].vector, "out", cases[i].method, true);
        if (!(d <= cases[i].tolerance)) fail_msg("%s: %g", cases[i].vector, d);
    }
}

void agree_fast(const VectorCase *cases, int n, RunVector *run)
{
    for (int i = 0; i < n; i++) {
        double d = run(cases[i].weights, cases[i].vector, "out.bf16_weights_bf16_compute",
                       cases[i].method, false);
        if (!(d <= 1.5e-2)) fail_msg("%s: %g", cases[i].vector, d);
    }
}

void agree_on_bf16(const char *net, const char *const *names, int n, double tolerance,
                   RunVector *run)
{
    for (int i = 0; i < n; i++) {
        char weights[64], vector[64];
        snprintf(weights, sizeof weights, "%s.weights_bf16", net);
        snprintf(vector, sizeof vector, "%s.case_%s", net, names[i]);
        double d = run(weights, vector, "out.bf16_weights_f32_compute", REF_DEFAULT, true);
        if (!(d <= tolerance)) fail_msg("%s: %g", vector, d);
    }
}

double distance(const float *a, const float *b, int64_t n)
{
    double apart = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        apart += d * d;
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(apart / size);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return group_patch() + group_positions() + group_names() + group_flux1() + group_flux2() +
           group_cost() + group_reuse() + group_controlnet() + group_style() + group_kv() +
           group_upscale() + group_widen() + group_merge();
}
