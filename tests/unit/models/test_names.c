/* test_names.c - a file with diffusers' names gives what the same file with BFL's names gives. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/formats/safetensors.h"
#include "engine/models/names.h"

static void names_are_translated(void **state)
{
    (void)state;
    char buf[160];
    assert_true(
        names_flux2_from_diffusers("transformer_blocks.12.attn.to_k.weight", buf, sizeof buf));
    assert_string_equal(buf, "double_blocks.12.img_attn.qkv.weight.1");
    assert_true(names_flux2_from_diffusers("single_transformer_blocks.3.attn.norm_q.weight",
                                           buf, sizeof buf));
    assert_string_equal(buf, "single_blocks.3.norm.query_norm.scale");
    assert_true(names_flux2_from_diffusers("norm_out.linear.weight", buf, sizeof buf));
    assert_string_equal(buf, NAMES_SWAPPED_FINAL);
    assert_false(
        names_flux2_from_diffusers("transformer_blocks.x.attn.to_k.weight", buf, sizeof buf));
    assert_false(names_flux2_from_diffusers("img_in.weight", buf, sizeof buf));
    assert_false(names_flux2_from_diffusers("proj_out.weight", buf, 4));
}

/* BFL name to diffusers name for the matrices that keep their rows. */
static const char *const plain[][2] = {
    { "img_in", "x_embedder" },
    { "txt_in", "context_embedder" },
    { "time_in.in_layer", "time_guidance_embed.timestep_embedder.linear_1" },
    { "time_in.out_layer", "time_guidance_embed.timestep_embedder.linear_2" },
    { "double_stream_modulation_img.lin", "double_stream_modulation_img.linear" },
    { "double_stream_modulation_txt.lin", "double_stream_modulation_txt.linear" },
    { "single_stream_modulation.lin", "single_stream_modulation.linear" },
    { "final_layer.linear", "proj_out" },
};
static const char *const blocks[][2] = {
    { "double_blocks.%d.img_attn.proj.weight", "transformer_blocks.%d.attn.to_out.0.weight" },
    { "double_blocks.%d.txt_attn.proj.weight", "transformer_blocks.%d.attn.to_add_out.weight" },
    { "double_blocks.%d.img_attn.norm.query_norm.scale",
      "transformer_blocks.%d.attn.norm_q.weight" },
    { "double_blocks.%d.img_attn.norm.key_norm.scale",
      "transformer_blocks.%d.attn.norm_k.weight" },
    { "double_blocks.%d.txt_attn.norm.query_norm.scale",
      "transformer_blocks.%d.attn.norm_added_q.weight" },
    { "double_blocks.%d.txt_attn.norm.key_norm.scale",
      "transformer_blocks.%d.attn.norm_added_k.weight" },
    { "double_blocks.%d.img_mlp.0.weight", "transformer_blocks.%d.ff.linear_in.weight" },
    { "double_blocks.%d.img_mlp.2.weight", "transformer_blocks.%d.ff.linear_out.weight" },
    { "double_blocks.%d.txt_mlp.0.weight",
      "transformer_blocks.%d.ff_context.linear_in.weight" },
    { "double_blocks.%d.txt_mlp.2.weight",
      "transformer_blocks.%d.ff_context.linear_out.weight" },
    { "single_blocks.%d.linear1.weight",
      "single_transformer_blocks.%d.attn.to_qkv_mlp_proj.weight" },
    { "single_blocks.%d.linear2.weight", "single_transformer_blocks.%d.attn.to_out.weight" },
    { "single_blocks.%d.norm.query_norm.scale",
      "single_transformer_blocks.%d.attn.norm_q.weight" },
    { "single_blocks.%d.norm.key_norm.scale",
      "single_transformer_blocks.%d.attn.norm_k.weight" },
};

/* Items of the file that is written. */
typedef struct Out {
    SafeItem items[128];
    int64_t shapes[128][2];
    char names[128][96];
    Tensor *tensors[64];
    int n, n_tensors;
} Out;

static void put(Out *o, const char *name, const float *data, int ndim, int64_t rows,
                int64_t columns)
{
    snprintf(o->names[o->n], sizeof o->names[0], "%s", name);
    o->shapes[o->n][0] = rows;
    o->shapes[o->n][1] = columns;
    o->items[o->n] = (SafeItem){ o->names[o->n], K_F32, ndim, o->shapes[o->n], data };
    o->n++;
}

static const Tensor *take(Out *o, const Weights *w, const char *name)
{
    Tensor *t = load(w, name);
    o->tensors[o->n_tensors++] = t;
    return t;
}

static void put_same(Out *o, const Weights *w, const char *from, const char *to)
{
    const Tensor *t = take(o, w, from);
    put(o, to, tensor_f32(t), t->ndim, t->shape[0], t->ndim > 1 ? t->shape[1] : 1);
}

static void put_qkv(Out *o, const Weights *w, int block, const char *stream,
                    const char *const parts[3])
{
    char name[96];
    snprintf(name, sizeof name, "double_blocks.%d.%s_attn.qkv.weight", block, stream);
    const Tensor *t = take(o, w, name);
    int64_t rows = t->shape[0] / 3;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "transformer_blocks.%d.attn.%s.weight", block, parts[i]);
        put(o, name, tensor_f32(t) + i * rows * t->shape[1], 2, rows, t->shape[1]);
    }
}

static void put_all(Out *o, const Weights *w)
{
    char from[96], to[96];
    static const char *const image[3] = { "to_q", "to_k", "to_v" };
    static const char *const text[3] = { "add_q_proj", "add_k_proj", "add_v_proj" };

    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        snprintf(from, sizeof from, "%s.weight", plain[i][0]);
        snprintf(to, sizeof to, "%s.weight", plain[i][1]);
        put_same(o, w, from, to);
    }
    for (int b = 0; b < 2; b++) {
        put_qkv(o, w, b, "img", image);
        put_qkv(o, w, b, "txt", text);
        for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(from, sizeof from, blocks[i][0], b);
            snprintf(to, sizeof to, blocks[i][1], b);
#pragma GCC diagnostic pop
            put_same(o, w, from, to);
        }
    }
    const Tensor *mod = take(o, w, "final_layer.adaLN_modulation.1.weight");
    int64_t half = tensor_count(mod) / 2;
    Tensor *swapped = NULL;
    assert_int_equal(tensor_clone(mod, &swapped, NULL), OK);
    memcpy(tensor_f32(swapped), tensor_f32(mod) + half, (size_t)half * 4);
    memcpy(tensor_f32(swapped) + half, tensor_f32(mod), (size_t)half * 4);
    o->tensors[o->n_tensors++] = swapped;
    put(o, "norm_out.linear.weight", tensor_f32(swapped), 2, mod->shape[0], mod->shape[1]);
}

static void run(Host *h, const Weights *w, const Weights *data, float *out)
{
    Model *m = NULL;
    Error err = { 0 };
    Tensor *x = load(data, "in.x"), *context = load(data, "in.context"),
           *t = load(data, "in.timestep");
    if (model_open(h, w, "file", &m, &err) != OK) fail_msg("%s", err.message);
    ForwardCall f = { .x = tensor_f32(x),
                      .size = { x->shape[2], x->shape[3] },
                      .sigma = tensor_f32(t)[0],
                      .context = tensor_f32(context),
                      .tokens = context->shape[1],
                      .out = out };
    if (model_forward(m, &f, &err) != OK) fail_msg("%s", err.message);
    model_unref(m);
    tensor_unref(x);
    tensor_unref(context);
    tensor_unref(t);
}

static void diffusers_files_give_the_same_numbers(void **state)
{
    (void)state;
    char path[512], written[64] = "/tmp/weft-names-XXXXXX";
    static Out o;
    static float a[128 * 30], b[128 * 30];
    Error err = { 0 };
    vector_path("flux2-transformer/klein_tiny.weights_f32.safetensors", path, sizeof path);
    Weights *w = open_file(path);
    vector_path("flux2-transformer/klein_tiny.case_t2i.safetensors", path, sizeof path);
    Weights *data = open_file(path);
    Host *h = open_host(true, false);
    put_all(&o, w);
    SafePair meta = { "config", weights_metadata(w, "config") };
    int fd = mkstemp(written);
    assert_true(fd >= 0);
    close(fd);
    if (safetensors_write(written, o.items, (size_t)o.n, &meta, 1, &err) != OK)
        fail_msg("%s", err.message);
    Weights *other = open_file(written);
    run(h, w, data, a);
    run(h, other, data, b);
    /* three products in place of one: sums of another order */
    assert_true(distance(b, a, 128 * 30) < 2e-6);
    for (int i = 0; i < o.n_tensors; i++)
        tensor_unref(o.tensors[i]);
    host_free(h);
    weights_unref(other);
    weights_unref(data);
    weights_unref(w);
    unlink(written);
}

int group_names(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_translated),
        cmocka_unit_test(diffusers_files_give_the_same_numbers),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
