/*
 * quantize.c - writes a model file again with its matrices in a quantised form.
 *
 * Three steps: decide for every tensor of the input what becomes of it (Job), lay the output out (sizes follow
 * from shapes alone), then write tensor by tensor. No more than a few rows are in memory at a time; pages of the
 * input go back to the kernel after each matrix.
 */
#include "engine/formats/quantize.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/encode.h"
#include "engine/formats/gguf_write.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/weights.h"
#include "engine/formats/weights_source.h"

enum { ROWS_AT_ONCE = 32, SMALL_TENSOR = 1024 };

/* What becomes of one tensor of the input. */
typedef struct Job {
    const char *name;       /* in the input */
    const char *layer;      /* out name without ".weight", or the out name of a kept tensor */
    const EncodeForm *form; /* NULL = kept */
    KWeight w;              /* matrices */
    KDtype type;            /* of a kept tensor in the output */
    bool raw;               /* a kept tensor's bytes are copied */
    int parts, first_item;
    EncodePart part[ENCODE_MAX_PARTS];
} Job;

typedef struct Work {
    const QuantizeOptions *options;
    const EncodeForm *form;
    const char *architecture; /* of a GGUF file */
    Arena *arena;
    Weights *in;
    Job *jobs; /* owned */
    size_t count;
    SafeItem *items; /* owned; every tensor of the output */
    uint64_t *begins;
    size_t item_count;
    uint64_t data; /* where data begin in the output */
    FileWriter *out;
    QuantizeReport *report;
    double difference, norm; /* sums of squares over all quantised matrices */
    Error *err;
} Work;

static Status no_memory(const Work *w)
{
    return error_set(w->err, E_NOMEM, "out of memory while quantising");
}

/* ---- which tensors ------------------------------------------------------------------------------------------- */

/* BFL's and diffusers' names of what stays: embedders, modulation, the last layer, norms; then token tables and
 * heads of text encoders, and the other parts of a checkpoint. */
static const char *const keep_always[] = {
    "*img_in.*",
    "*txt_in.*",
    "*time_in.*",
    "*guidance_in.*",
    "*vector_in.*",
    "*_mod.lin.*",
    "*modulation*",
    "*final_layer.*",
    "*norm*",
    "*x_embedder.*",
    "*context_embedder.*",
    "*time_text_embed.*",
    "*time_guidance_embed.*",
    "proj_out.*",
    "*transformer.proj_out.*",
    "*embed_tokens*",
    "*shared.weight",
    "*token_embedding*",
    "*position_embedding*",
    "*relative_attention_bias*",
    "*lm_head*",
    "*text_projection*",
    "first_stage_model.*",
    "vae.*",
    NULL,
};

/* Glob with * and ?, without recursion: a star remembers where to go on. */
static bool matches(const char *pattern, const char *name)
{
    const char *star = NULL, *from = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            from = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

static bool in_list(const char *const *patterns, const char *name)
{
    for (; patterns && *patterns; patterns++)
        if (matches(*patterns, name)) return true;
    return false;
}

/* Tensors that belong to another one's coding: what they say is in the decoded matrix. */
static bool is_side_table(const Work *w, const char *name)
{
    static const char *const endings[] = {
        ".comfy_quant",
        ".weight_scale",
        ".scale_weight",
        ".scale_input",
        ".input_scale",
        ".weight_scale_2",
        ".weight_s_rel",
        ".weight_s_channel",
        ".weight_zeros",
        ".weight_codebook",
        ".pre_quant_scale",
        ".SCB",
        ".weight_format",
        ".weight.absmax",
        ".weight.quant_map",
        ".weight.nested_absmax",
        ".weight.nested_quant_map",
        ".weight.quant_state.bitsandbytes__nf4",
        ".weight.quant_state.bitsandbytes__fp4",
    };
    char weight[512];

    if (strcmp(name, "scaled_fp8") == 0 || str_ends_with(name, ".scaled_fp8")) return true;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (!str_ends_with(name, endings[i])) continue;
        snprintf(weight, sizeof weight, "%.*s.weight", (int)(strlen(name) - strlen(endings[i])),
                 name);
        if (weights_has(w->in, weight)) return true;
    }
    return false;
}

static bool is_float(KDtype t)
{
    return t == K_F32 || t == K_F16 || t == K_BF16 || t == K_F8_E4M3 || t == K_F8_E5M2;
}

/* A kept tensor: its bytes where the output has its dtype, else its values as BF16, or F32 for vectors. */
static Status keep(Work *w, Job *j)
{
    KDtype type = weights_dtype(w->in, j->name);
    bool coded = j->w.quant || j->w.scale || j->w.cast != K_F32;
    bool gguf = encode_is_gguf(w->form);
    int64_t count = weights_elements(w->in, j->name), shape[K_MAX_DIMS] = { 0 };
    int ndim = weights_shape(w->in, j->name, shape);
    SafeItem item = { .ndim = ndim };
    KView view;

    if (ndim > K_MAX_DIMS || (gguf && ndim > 4))
        return error_set(w->err, E_UNSUPPORTED, "tensor %s has %d dimensions", j->name, ndim);
    j->type = type;
    if (coded || !is_float(type)) j->type = K_BF16;
    if (gguf && is_float(type) &&
        (ndim < 2 || count <= SMALL_TENSOR || type == K_F8_E4M3 || type == K_F8_E5M2))
        j->type = K_F32;
    j->raw = !coded && j->type == type && weights_view(w->in, j->name, &view, NULL) == OK;
    if (!coded && !is_float(type) && weights_view(w->in, j->name, &view, NULL) == OK) {
        j->type = gguf ? K_F32 : type;
        j->raw = !gguf;
    }
    item.type = j->type;
    item.name = j->layer;
    int64_t *kept = arena_array(w->arena, K_MAX_DIMS, sizeof *kept);
    if (!kept) return no_memory(w);
    memcpy(kept, shape, sizeof shape);
    item.shape = kept;
    j->first_item = (int)w->item_count;
    j->parts = 1;
    w->items[w->item_count++] = item;
    w->report->kept++;
    return OK;
}

/* The name in the output: GGUF files have their own for text encoders and no prefix for transformers. */
static Status out_name(Work *w, const char *name, const char **out)
{
    static const char prefix[] = "model.diffusion_model.";
    char *text = NULL;

    *out = name;
    if (!encode_is_gguf(w->form)) return OK;
    if (str_starts_with(name, prefix)) name += sizeof prefix - 1;
    TRY(weights_gguf_name(w->architecture, name, &text, w->err));
    *out = arena_strdup(w->arena, text);
    mem_free(text);
    return *out ? OK : no_memory(w);
}

static bool is_matrix(const Work *w, const char *name)
{
    int64_t shape[K_MAX_DIMS];
    return weights_shape(w->in, name, shape) == 2 && str_ends_with(name, ".weight");
}

/* Whether the matrix is to be quantised, and in which form its rows can be. */
static const EncodeForm *form_for(const Work *w, const Job *j)
{
    if (!j->w.data || j->w.n * j->w.k <= SMALL_TENSOR) return NULL;
    if (in_list(keep_always, j->name) || in_list(w->options->keep, j->name)) return NULL;
    return encode_fitting(w->form, j->w.k);
}

static Status plan_tensor(Work *w, const char *name)
{
    Job *j = &w->jobs[w->count];

    *j = (Job){ .name = name };
    if (is_side_table(w, name)) return OK;
    if (is_matrix(w, name)) TRY(weights_matrix(w->in, name, 0, 0, &j->w, w->err));
    j->form = is_matrix(w, name) ? form_for(w, j) : NULL;
    TRY(out_name(w, name, &j->layer));
    w->count++;
    if (!j->form) return keep(w, j);
    j->layer = arena_strndup(w->arena, j->layer, strlen(j->layer) - strlen(".weight"));
    if (!j->layer) return no_memory(w);
    j->parts = encode_parts(j->form, j->w.n, j->w.k, 0, j->part);
    j->first_item = (int)w->item_count;
    for (int i = 0; i < j->parts; i++) {
        char *full = arena_printf(w->arena, "%s%s", j->layer, j->part[i].suffix);
        if (!full) return no_memory(w);
        w->items[w->item_count++] = (SafeItem){ .name = full,
                                                .type = j->part[i].type,
                                                .ndim = j->part[i].ndim,
                                                .shape = j->part[i].shape };
    }
    return OK;
}

static Status plan(Work *w)
{
    size_t n = weights_count(w->in);
    int matrices = 0;

    w->jobs = mem_alloc_array(n, sizeof *w->jobs);
    w->items = mem_alloc_array(n * ENCODE_MAX_PARTS, sizeof *w->items);
    w->begins = mem_alloc_array(n * ENCODE_MAX_PARTS, sizeof *w->begins);
    if (!w->jobs || !w->items || !w->begins) return no_memory(w);
    for (size_t i = 0; i < n; i++)
        TRY(plan_tensor(w, weights_name(w->in, i)));
    for (size_t i = 0; i < w->count; i++)
        matrices += w->jobs[i].form != NULL;
    if (matrices) return OK;
    error_set(w->err, E_USAGE, "there is no matrix to quantise as %s",
              encode_form_name(w->form));
    error_fix(w->err, "take a transformer or a text encoder, and fewer --keep patterns");
    return E_USAGE;
}

/* ---- the output's layout ---------------------------------------------------------------------------------------- */

/* Which of GGUF's architectures the names tell; NULL = none that is written. */
static const char *architecture_of(const Weights *w)
{
    static const struct {
        const char *name, *architecture;
    } signs[] = {
        { "double_blocks.0.img_attn.norm.key_norm.scale", "flux" },
        { "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale", "flux" },
        { "transformer_blocks.0.attn.norm_k.weight", "flux" },
        { "encoder.block.0.layer.0.layer_norm.weight", "t5encoder" },
        { "model.layers.0.self_attn.q_norm.weight", "qwen3" },
    };

    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (weights_has(w, signs[i].name)) return signs[i].architecture;
    return NULL;
}

static Status lay_out(Work *w)
{
    uint8_t *header = NULL;
    size_t size = 0;
    Status status;

    if (encode_is_gguf(w->form))
        status = gguf_layout(w->architecture, encode_dtype(w->form), w->items, w->item_count,
                             &header, &size, w->begins, w->err);
    else
        status = safetensors_layout(w->items, w->item_count,
                                    &(SafePair){ .key = "format", .value = "pt" }, 1, &header,
                                    &size, w->begins, w->err);
    if (status == OK) status = file_writer_put(w->out, 0, header, size, w->err);
    w->data = size;
    mem_free(header);
    return status;
}

static Status put(Work *w, int item, uint64_t offset, const void *data, size_t size)
{
    w->report->bytes_to += (int64_t)size;
    return file_writer_put(w->out, w->data + w->begins[item] + offset, data, size, w->err);
}

/* ---- kept tensors ------------------------------------------------------------------------------------------------- */

/* `count` values as the tensor's dtype, in place of themselves. */
static size_t narrow(float *values, int64_t count, KDtype type)
{
    uint8_t *out = (uint8_t *)values;

    if (type == K_F32) return (size_t)count * sizeof *values;
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits = type == K_F16 ? k_f16_from_f32(values[i]) : k_bf16_from_f32(values[i]);
        memcpy(out + 2 * i, &bits, sizeof bits);
    }
    return (size_t)count * 2;
}

static Status write_rows(Work *w, const Job *j, float *row)
{
    for (int64_t r = 0; r < j->w.n; r++) {
        if (k_weight_row(&j->w, r, 0, j->w.k, row) != K_OK)
            return error_set(w->err, E_UNSUPPORTED, "tensor %s cannot be decoded", j->name);
        size_t size = narrow(row, j->w.k, j->type);
        TRY(put(w, j->first_item, (uint64_t)r * size, row, size));
    }
    return OK;
}

static Status write_kept(Work *w, const Job *j)
{
    int64_t count = weights_elements(w->in, j->name);
    KView view;

    if (j->raw) {
        TRY(weights_view(w->in, j->name, &view, w->err));
        return put(w, j->first_item, 0, view.data,
                   (size_t)count * k_dtype_block_bytes(view.dtype));
    }
    int64_t room = j->w.data ? j->w.k : count;
    float *values = mem_alloc_array((size_t)room, sizeof *values);
    if (!values) return no_memory(w);
    Status status;
    if (j->w.data)
        status = write_rows(w, j, values);
    else
        status = weights_f32_into(w->in, j->name, values, count, w->err);
    if (status == OK && !j->w.data)
        status = put(w, j->first_item, 0, values, narrow(values, count, j->type));
    mem_free(values);
    return status;
}

/* ---- matrices ------------------------------------------------------------------------------------------------------- */

/* Room for rows on their way: one decoded, its encoded parts for several rows, the values read back. */
typedef struct Room {
    float *row, *source, *back;
    uint8_t *part[ENCODE_MAX_PARTS];
    double difference, norm, max;
} Room;

static void room_fini(Room *r)
{
    mem_free(r->row);
    mem_free(r->source);
    mem_free(r->back);
    for (int i = 0; i < ENCODE_MAX_PARTS; i++)
        mem_free(r->part[i]);
}

static Status room_init(const Work *w, const Job *j, Room *r)
{
    size_t k = (size_t)j->w.k;
    bool good;

    *r = (Room){ .row = mem_alloc_array(k, sizeof(float)),
                 .source = mem_alloc_array(k, sizeof(float)),
                 .back = mem_alloc_array(k, sizeof(float)) };
    good = r->row && r->source && r->back;
    for (int i = 0; i < j->parts && good; i++)
        good = (r->part[i] = mem_alloc_array(ROWS_AT_ONCE, j->part[i].row_bytes + 1)) != NULL;
    return good ? OK : no_memory(w);
}

static Status read_row(const Work *w, const Job *j, int64_t row, float *out)
{
    if (k_weight_row(&j->w, row, 0, j->w.k, out) == K_OK) return OK;
    return error_set(w->err, E_UNSUPPORTED, "tensor %s cannot be decoded", j->name);
}

static Status find_max(const Work *w, const Job *j, float *row, float *max)
{
    *max = 0;
    for (int64_t r = 0; r < j->w.n; r++) {
        TRY(read_row(w, j, r, row));
        for (int64_t i = 0; i < j->w.k; i++)
            if (fabsf(row[i]) > *max) *max = fabsf(row[i]);
    }
    return OK;
}

static void measure(Room *r, int64_t k)
{
    for (int64_t i = 0; i < k; i++) {
        double e = fabs((double)r->back[i] - (double)r->source[i]);
        r->difference += e * e;
        r->norm += (double)r->source[i] * (double)r->source[i];
        if (e > r->max) r->max = e;
    }
}

static Status encode_one(const Work *w, const Job *j, int64_t row, int64_t at, Room *room)
{
    uint8_t *rows[ENCODE_MAX_PARTS] = { NULL };

    for (int i = 0; i < j->parts; i++)
        rows[i] = room->part[i] + (size_t)at * j->part[i].row_bytes;
    TRY(read_row(w, j, row, room->source));
    memcpy(room->row, room->source, (size_t)j->w.k * sizeof *room->row);
    if (!encode_row(j->form, j->part, room->row, j->w.k, rows, room->back))
        return error_set(w->err, E_INTERNAL, "tensor %s does not read back", j->name);
    measure(room, j->w.k);
    return OK;
}

/* Rows [first, first + count), which are encoded, into the file. */
static Status flush(Work *w, const Job *j, int64_t first, int64_t count, const Room *room)
{
    for (int i = 0; i < j->parts; i++) {
        size_t bytes = j->part[i].row_bytes;
        if (bytes)
            TRY(put(w, j->first_item + i, (uint64_t)first * bytes, room->part[i],
                    (size_t)count * bytes));
    }
    return OK;
}

static Status write_matrix_rows(Work *w, const Job *j, Room *room)
{
    for (int64_t first = 0; first < j->w.n; first += ROWS_AT_ONCE) {
        int64_t count = j->w.n - first < ROWS_AT_ONCE ? j->w.n - first : ROWS_AT_ONCE;
        if (w->options->events && atomic_load(&w->options->events->cancel))
            return error_set(w->err, E_CANCELLED, "interrupted");
        for (int64_t i = 0; i < count; i++)
            TRY(encode_one(w, j, first + i, i, room));
        TRY(flush(w, j, first, count, room));
    }
    for (int i = 0; i < j->parts; i++)
        if (!j->part[i].row_bytes)
            TRY(put(w, j->first_item + i, 0, j->part[i].constant, j->part[i].constant_size));
    return OK;
}

static Status report_layer(Work *w, const Job *j, const Room *room, int64_t bytes)
{
    QuantizeReport *r = w->report;
    if (r->count == r->capacity) {
        int more = r->capacity ? 2 * r->capacity : 64;
        QuantizeLayer *grown = mem_realloc(r->layers, (size_t)more * sizeof *grown);
        if (!grown) return no_memory(w);
        r->layers = grown;
        r->capacity = more;
    }
    char *name = mem_strdup(j->name);
    if (!name) return no_memory(w);
    r->layers[r->count++] =
        (QuantizeLayer){ .name = name,
                         .from = k_dtype_name(j->w.dtype),
                         .to = encode_form_name(j->form),
                         .n = j->w.n,
                         .k = j->w.k,
                         .bytes_from = j->w.n * j->w.row_bytes,
                         .bytes_to = bytes,
                         .relative = room->norm > 0 ? sqrt(room->difference / room->norm) : 0,
                         .max_error = room->max };
    w->difference += room->difference;
    w->norm += room->norm;
    return OK;
}

static Status write_matrix(Work *w, Job *j)
{
    int64_t before = w->report->bytes_to;
    float max = 0;
    Room room;
    Status status = room_init(w, j, &room);

    if (status == OK && encode_needs_max(j->form)) status = find_max(w, j, room.row, &max);
    if (status == OK) {
        encode_parts(j->form, j->w.n, j->w.k, max, j->part);
        status = write_matrix_rows(w, j, &room);
    }
    if (status == OK) status = report_layer(w, j, &room, w->report->bytes_to - before);
    room_fini(&room);
    weights_release(w->in);
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static Status write_all(Work *w)
{
    int done = 0, total = 0;

    for (size_t i = 0; i < w->count; i++)
        total += w->jobs[i].form != NULL;
    for (size_t i = 0; i < w->count; i++) {
        Job *j = &w->jobs[i];
        TRY(j->form ? write_matrix(w, j) : write_kept(w, j));
        if (j->form && w->options->progress)
            w->options->progress(w->options->user, ++done, total);
    }
    w->report->bytes_from = weights_bytes(w->in);
    w->report->relative = w->norm > 0 ? sqrt(w->difference / w->norm) : 0;
    return OK;
}

static Status find_form(const char *type, const EncodeForm **out, Error *err)
{
    Str list = { 0 };

    *out = type ? encode_find(type) : NULL;
    if (*out) return OK;
    for (size_t i = 0; encode_name(i); i++)
        str_printf(&list, i ? ", %s" : "%s", encode_name(i));
    error_set(err, E_USAGE, type ? "there is no type '%s'" : "no type is given", type);
    error_fix(err, "take one of %s", list.text ? list.text : "");
    str_fini(&list);
    return E_USAGE;
}

static Status check_out(const EncodeForm *f, const char *out, bool overwrite, Error *err)
{
    const char *ending = encode_is_gguf(f) ? ".gguf" : ".safetensors";

    if (!str_ends_with(out, ending)) {
        error_set(err, E_USAGE, "%s is written to a %s file, not to %s", encode_form_name(f),
                  ending, out);
        error_fix(err, "give OUT the ending %s", ending);
        return E_USAGE;
    }
    if (overwrite || !file_exists(out)) return OK;
    error_set(err, E_USAGE, "%s exists", out);
    error_fix(err, "give another name, or --force to write over it");
    return E_USAGE;
}

static Status check_architecture(Work *w)
{
    if (!encode_is_gguf(w->form)) return OK;
    w->architecture = architecture_of(w->in);
    if (w->architecture) return OK;
    error_set(w->err, E_UNSUPPORTED,
              "GGUF files are written for FLUX transformers, T5 and Qwen3 encoders; this is "
              "none of them");
    error_fix(w->err, "take fp8_e4m3fn, int8, w4a8 or nf4, which keep the file's names");
    return E_UNSUPPORTED;
}

void quantize_report_fini(QuantizeReport *r)
{
    for (int i = 0; i < r->count; i++)
        mem_free(r->layers[i].name);
    mem_free(r->layers);
    *r = (QuantizeReport){ 0 };
}

Status quantize_file(const char *in, const char *out, const QuantizeOptions *options,
                     QuantizeReport *report, Error *err)
{
    Work w = { .options = options, .report = report, .err = err };
    Status status = OK;

    *report = (QuantizeReport){ 0 };
    TRY(find_form(options->type, &w.form, err));
    TRY(check_out(w.form, out, options->overwrite, err));
    TRY_DONE(weights_open(in, NULL, &w.in, err));
    w.arena = arena_new();
    if (!w.arena) TRY_DONE(no_memory(&w));
    TRY_DONE(check_architecture(&w));
    TRY_DONE(plan(&w));
    TRY_DONE(file_writer_open(out, &w.out, err));
    TRY_DONE(lay_out(&w));
    TRY_DONE(write_all(&w));
    TRY_DONE(file_writer_commit(w.out, err));
done:
    if (status != OK) error_at_file(err, in, -1);
    file_writer_close(w.out);
    mem_free(w.jobs);
    mem_free(w.items);
    mem_free(w.begins);
    arena_free(w.arena);
    weights_unref(w.in);
    return status;
}
