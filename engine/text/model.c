/* model.c - runs an encoder network: embeds the tokens, plans the program, executes it. */
#include "engine/text/model.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/formats/file_name.h"

static void model_release(Component *c)
{
    const TextModel *m = (const TextModel *)c;
    if (m->weights) weights_release(m->weights);
}

static void model_destroy(void *object)
{
    TextModel *m = object;
    weights_unref(m->weights);
    mem_free((void *)(uintptr_t)m->base.file);
    mem_free(m);
}

void text_model_init(TextModel *m, const TextModelKind *kind, const Weights *weights)
{
    ref_init(&m->base.ref, model_destroy);
    m->base.name = "text encoder";
    m->base.release = model_release;
    m->kind = kind;
    m->weights = weights ? weights_ref(weights) : NULL;
}

/* Builds and plans the program for one section. */
static Status plan_section(const TextModel *m, Host *h, const TextPatches *patches,
                           const TextTokens *tokens, Program **out, Error *err)
{
    Program *p = NULL;
    Status status = OK;

    TRY(prog_new(m->kind->name, &p, err));
    Net net = { .p = p,
                .w = m->weights,
                .patches = patches,
                .events = host_events(h),
                .act = host_exact(h) ? K_F32 : K_BF16,
                .eps = m->eps,
                .missing = m->missing };
    ProgValue x = prog_input(p, "x", K_F32, 2, (int64_t[]){ tokens->count, m->width });
    prog_output(p, "states", m->kind->build(m, &net, x, tokens));
    TRY_DONE(prog_plan(p, host_backend(h), host_context(h), err));
    *out = p;
    return OK;

done:
    prog_free(p);
    return status;
}

Status text_model_ready(TextModel *m, Host *h, const char *file, Error *err)
{
    Program *p = NULL;
    int32_t id = 0;
    TextTokens one = { .ids = &id, .count = 1 };

    if (file && !(m->base.file = mem_strdup(file)))
        return error_set(err, E_NOMEM, "out of memory for a text encoder");
    m->missing = file_name_dtype(file ? file : "");
    TRY(plan_section(m, h, NULL, &one, &p, err));
    m->base.bytes = (int64_t)prog_weight_bytes(p);
    prog_free(p);
    return OK;
}

/* ---- embedding --------------------------------------------------------------------------- */

static Status check_tokens(const TextModel *m, const TextTokens *tokens, Error *err)
{
    if (tokens->count < 1)
        return error_set(err, E_RANGE, "%s: no tokens to encode", m->kind->name);
    if (m->max_tokens && tokens->count > m->max_tokens)
        return error_set(err, E_RANGE, "%s: %lld tokens are more than its %lld positions",
                         m->kind->name, (long long)tokens->count, (long long)m->max_tokens);
    for (int64_t i = 0; i < tokens->count; i++) {
        int32_t id = tokens->ids[i];
        if (id >= m->vocab || id < -1 || (id == -1 && !tokens->rows))
            return error_set(err, E_RANGE, "%s: token %d is outside its vocabulary of %lld",
                             m->kind->name, (int)id, (long long)m->vocab);
    }
    return OK;
}

static Status table_row(const KWeight *table, int64_t row, float *out, Error *err)
{
    KResult r = k_weight_row(table, row, 0, table->k, out);
    if (r == K_OK) return OK;
    return error_set(err, E_UNSUPPORTED, "token embeddings of type %s: %s",
                     k_dtype_name(table->dtype), k_result_message(r));
}

static Status find_table(const TextModel *m, const TextPatches *patches, const char *name,
                         int64_t rows, KWeight *out, Error *err)
{
    TRY(weights_matrix(m->weights, name, rows, m->width, out, err));
    return text_patches_apply(patches, name, out, err);
}

static Status add_positions(const TextModel *m, const TextPatches *patches,
                            const TextTokens *tokens, float *x, Error *err)
{
    KWeight table;
    Status status = OK;
    TRY(find_table(m, patches, m->kind->positions, 0, &table, err));
    float *row = mem_alloc_array((size_t)m->width, sizeof *row);
    if (!row) return error_set(err, E_NOMEM, "out of memory for token embeddings");
    for (int64_t t = 0; t < tokens->count; t++) {
        TRY_DONE(table_row(&table, t, row, err));
        for (int64_t i = 0; i < m->width; i++)
            x[t * m->width + i] += row[i];
    }

done:
    mem_free(row);
    return status;
}

/* Rows of the token table, or of learned embeddings, into x [T, width]. */
static Status embed_tokens(const TextModel *m, const TextPatches *patches,
                           const TextTokens *tokens, float *x, Error *err)
{
    KWeight table;
    TRY(find_table(m, patches, m->kind->embedding, m->vocab, &table, err));
    for (int64_t t = 0; t < tokens->count; t++) {
        float *to = x + t * m->width;
        if (tokens->ids[t] >= 0)
            TRY(table_row(&table, tokens->ids[t], to, err));
        else
            memcpy(to, tokens->rows[t], (size_t)m->width * sizeof *to);
    }
    return m->kind->positions ? add_positions(m, patches, tokens, x, err) : OK;
}

/* ---- running ----------------------------------------------------------------------------- */

static Status execute(const TextModel *m, Host *h, const Program *p, float *x, Tensor *states,
                      Error *err)
{
    void *arena = NULL;
    TRY(host_enter(h, (Component *)(uintptr_t)&m->base, err));
    TRY(host_arena(h, prog_arena_bytes(p), &arena, err));
    ProgRun run = { .backend = host_backend(h),
                    .ctx = host_context(h),
                    .arena = arena,
                    .events = host_events(h),
                    .dummy = host_dummy(h) };
    ProgArg in = { "x", x }, out = { "states", tensor_f32(states) };
    return prog_run(p, &run, &in, 1, &out, 1, err);
}

static Status take_pooled(const TextModel *m, const TextTokens *tokens, const Tensor *states,
                          Tensor **out, Error *err)
{
    int64_t row = m->kind->pooled_row ? m->kind->pooled_row(m, tokens) : -1;
    Tensor *pooled = NULL;
    if (row < 0) return OK;
    TRY(tensor_new(K_F32, 2, (int64_t[]){ 1, m->out_width }, &pooled, err));
    memcpy(tensor_f32(pooled), tensor_f32(states) + row * m->out_width,
           (size_t)m->out_width * sizeof(float));
    *out = pooled;
    return OK;
}

Status text_model_run(const TextModel *m, Host *h, const TextPatches *patches,
                      const TextTokens *tokens, Tensor **states, Tensor **pooled, Error *err)
{
    Program *p = NULL;
    Tensor *x = NULL, *result = NULL, *row = NULL;
    Status status = OK;

    if (tokens->count < 1)
        return error_set(err, E_RANGE, "%s: no tokens to encode", m->kind->name);
    if (!host_dummy(h)) TRY(check_tokens(m, tokens, err));
    TRY_DONE(plan_section(m, h, patches, tokens, &p, err));
    TRY_DONE(tensor_zeros(K_F32, 2, (int64_t[]){ tokens->count, m->width }, &x, err));
    TRY_DONE(
        tensor_zeros(K_F32, 3, (int64_t[]){ 1, tokens->count, m->out_width }, &result, err));
    if (!host_dummy(h)) TRY_DONE(embed_tokens(m, patches, tokens, tensor_f32(x), err));
    int64_t merged = text_patches_held(patches);
    host_hold(h, merged);
    status = execute(m, h, p, tensor_f32(x), result, err);
    host_hold(h, -merged);
    TRY_DONE(status);
    if (pooled) TRY_DONE(take_pooled(m, tokens, result, &row, err));
    *states = result;
    result = NULL;
    if (pooled) *pooled = row;

done:
    prog_free(p);
    text_patches_rest(patches);
    tensor_unref(x);
    tensor_unref(result);
    return status;
}

Status text_model_flops(const TextModel *m, Host *h, int64_t count, double *out, Error *err)
{
    Program *p = NULL;
    int32_t *ids = mem_calloc((size_t)count, sizeof *ids);
    TextTokens tokens = { .ids = ids, .count = count };
    if (!ids) return error_set(err, E_NOMEM, "out of memory for %lld tokens", (long long)count);
    Status status = plan_section(m, h, NULL, &tokens, &p, err);
    if (status == OK) *out = prog_flops(p);
    prog_free(p);
    mem_free(ids);
    return status;
}
