/* support.c - scripts from text, and toy models to run them on. */
#include "tests/unit/script/support.h"

#include <math.h>
#include <string.h>

ScriptSet *builtin_scripts(void)
{
    ScriptSet *set = NULL;
    Error err = { 0 };
    ok(script_set_load(NULL, NULL, NULL, &set, &err), &err);
    return set;
}

ScriptValues *values_of(const ScriptSet *set, const char *name)
{
    ScriptValues *v = NULL;
    Error err = { 0 };
    const Script *s = script_set_find(set, name);
    assert_non_null(s);
    ok(script_values_default(s, &v, &err), &err);
    return v;
}

void set_value(ScriptValues *v, const char *name, const char *value)
{
    Error err = { 0 };
    ok(script_values_set(v, name, value, &err), &err);
}

void set_number(ScriptValues *v, const char *name, double number)
{
    char value[40];
    snprintf(value, sizeof value, "%.17g", number);
    set_value(v, name, value);
}

Status load_text(const char *script, const ScriptLimits *limits, Script **out, Error *err)
{
    return script_load("scripts/test.lua", script, strlen(script), limits, out, err);
}

Tensor *toy_tensor(double phase)
{
    static const int64_t shape[4] = { 2, 4, 6, 5 };
    Tensor *t = NULL;
    Error err = { 0 };
    ok(tensor_new(K_F32, 4, shape, &t, &err), &err);
    for (int64_t i = 0, n = tensor_count(t); i < n; i++)
        tensor_f32(t)[i] = (float)sin(0.731 * (double)i + phase);
    return t;
}

static Status toy_denoise(SamplerRun *r, const Tensor *x, float sigma, Tensor *out, Error *err)
{
    (void)r, (void)err;
    for (int64_t i = 0, n = tensor_count(out); i < n; i++)
        tensor_f32(out)[i] = tanhf(1.3f * tensor_f32(x)[i]) / (1.0f + sigma) + 0.05f;
    return OK;
}

Status run_toy(const Sampler *sampler, Tensor **out, Error *err)
{
    ModelSampling *m = NULL;
    Tensor *sigmas = NULL, *x = toy_tensor(0.4);
    Rng churn;

    rng_init(&churn, 7);
    ok(model_sampling_flux(1.15, &m, err), err);
    ok(sigmas_schedule(m, "simple", 8, 1, NULL, &sigmas, err), err);
    SamplerRun run = { .sampler = sampler,
                       .model = m,
                       .sigmas = tensor_f32(sigmas),
                       .count = 9,
                       .seed = 5,
                       .churn = &churn,
                       .x = x,
                       .denoise = toy_denoise };
    Status status = sampler_run(&run, err);
    ref_drop(m);
    tensor_unref(sigmas);
    if (status == OK)
        *out = x;
    else
        tensor_unref(x);
    return status;
}
