/* test_widen.c - control LoRAs that give img_in more columns make the model read extra channels. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/formats/safetensors.h"
#include "engine/lora/lora.h"
#include "tests/unit/support.h"

enum { TENSORS_MAX = 64 };

/* A LoRA as the object of a weight patch. */
typedef struct LoraPatch {
    WeightPatch base;
    Lora *lora;
} LoraPatch;

static void patch_destroy(void *object)
{
    LoraPatch *p = object;
    lora_free(p->lora);
    mem_free(p);
}

static Status patch_apply(WeightPatch *self, const char *name, double strength, KWeight *w,
                          Error *err)
{
    return lora_apply(((LoraPatch *)(void *)self)->lora, name, strength, w, err);
}

static Weights *open_vector(const char *name)
{
    char path[512], file[96];
    snprintf(file, sizeof file, "lora/%s.safetensors", name);
    vector_path(file, path, sizeof path);
    return open_file(path);
}

static Model *with_lora(const Model *m, const Weights *file, bool exact)
{
    Error err = { 0 };
    Model *out = NULL;
    LoraPatch *p = mem_calloc(1, sizeof *p);
    ref_init(&p->base.ref, patch_destroy);
    p->base.apply = patch_apply;
    assert_ok(lora_open(file, model_weights(m), exact, &p->lora, &err), &err);
    Patch patch = {
        .kind = PATCH_WEIGHTS, .object = &p->base.ref, .text = "lora", .strength = 1
    };
    assert_ok(model_with_patch(m, &patch, &out, &err), &err);
    ref_drop(p);
    return out;
}

/* The base's tensors with the changed ones in their places, as a file. */
static Weights *merged_file(const Weights *base, const Weights *changed)
{
    SafeItem items[TENSORS_MAX];
    int64_t shapes[TENSORS_MAX][K_MAX_DIMS];
    Tensor *tensors[TENSORS_MAX];
    char path[64];
    Error err = { 0 };
    size_t n = weights_count(base);
    SafePair config = { "config", weights_metadata(base, "config") };

    assert_true(n <= TENSORS_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *name = weights_name(base, i);
        const Weights *from = weights_has(changed, name) ? changed : base;
        tensors[i] = load(from, name);
        memcpy(shapes[i], tensors[i]->shape, sizeof shapes[i]);
        items[i] = (SafeItem){ .name = name,
                               .type = K_F32,
                               .ndim = tensors[i]->ndim,
                               .shape = shapes[i],
                               .data = tensors[i]->data };
    }
    snprintf(path, sizeof path, "/tmp/weft-widen-%d.safetensors", (int)getpid());
    assert_ok(safetensors_write(path, items, n, &config, 1, &err), &err);
    for (size_t i = 0; i < n; i++)
        tensor_unref(tensors[i]);
    Weights *w = open_file(path);
    unlink(path);
    return w;
}

static Tensor *pattern(int64_t channels, int64_t h, int64_t w, float step)
{
    Tensor *t = NULL;
    assert_int_equal(tensor_new(K_F32, 4, (int64_t[]){ 1, channels, h, w }, &t, NULL), OK);
    for (int64_t i = 0; i < tensor_count(t); i++)
        tensor_f32(t)[i] = (float)((i * 37) % 19) * step - 0.5f;
    return t;
}

static Tensor *denoised(const Model *m, bool guided)
{
    Error err = { 0 };
    Cond *c = NULL;
    Tensor *embed = NULL, *out = NULL, *x = pattern(4, 6, 8, 0.05f),
           *guide = pattern(4, 6, 8, 0.08f);
    const Denoiser *d = model_denoiser(m);

    assert_ok(tensor_zeros(K_F32, 3, (int64_t[]){ 1, 5, 40 }, &embed, &err), &err);
    tensor_fill(embed, 0.25f);
    assert_ok(cond_new(embed, NULL, &c, &err), &err);
    if (guided) cond_set_concat(c, guide, NULL);
    assert_ok(tensor_zeros(K_F32, 4, x->shape, &out, &err), &err);
    DenoiseCall call = { .x = x, .sigma = 0.6f, .cond = &c->entries[0], .out = out };
    assert_ok(d->class->denoise((Denoiser *)(uintptr_t)d, &call, &err), &err);
    cond_unref(c);
    tensor_unref(x);
    tensor_unref(guide);
    return out;
}

static void a_control_lora_widens_the_model(void **state)
{
    Error err = { 0 };
    Model *plain = NULL, *native = NULL;
    (void)state;
    Host *h = open_host(true, false);
    Weights *base = open_vector("flux.base_weights"),
            *file = open_vector("flux.case_bfl_control.lora"),
            *changed = open_vector("flux.case_bfl_control.patched");
    Weights *merged = merged_file(base, changed);

    assert_ok(model_open(h, base, "base", &plain, &err), &err);
    assert_ok(model_open(h, merged, "merged", &native, &err), &err);
    Model *widened = with_lora(plain, file, true);
    assert_int_equal(model_dims(plain)->in_channels, 4);
    assert_int_equal(model_dims(widened)->in_channels, 8);
    assert_int_equal(model_dims(native)->in_channels, 8);
    for (int guided = 0; guided < 2; guided++) {
        Tensor *a = denoised(widened, guided), *b = denoised(native, guided);
        double d = tensor_rel_diff(a, b);
        print_message("%s: %.3g from the merged file\n", guided ? "with a picture" : "without",
                      d);
        if (!(d <= 1e-6)) fail_msg("%g", d);
        tensor_unref(a);
        tensor_unref(b);
    }
    Tensor *with = denoised(widened, true), *without = denoised(widened, false);
    assert_true(tensor_rel_diff(with, without) > 1e-3);
    tensor_unref(with);
    tensor_unref(without);
    model_unref(widened);
    model_unref(native);
    model_unref(plain);
    weights_unref(merged);
    weights_unref(changed);
    weights_unref(file);
    weights_unref(base);
    host_free(h);
}

int group_widen(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_control_lora_widens_the_model) };
    return cmocka_run_group_tests_name("widen", tests, NULL, NULL);
}
