/* main.c - runner of the model suite; an argument filters tests by name. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
           group_cost() + group_reuse();
}
