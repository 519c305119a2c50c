/* test_side_nets.c - ControlNets, Redux, USO and kept references in whole workflows, and what a user is told.
 *
 * usage: test_side_nets WEFT SOURCE_ROOT [NAME_FILTER]
 *
 * The tiny FLUX.1 is the reference's golden one; the nets beside it are made here of random numbers. What they
 * compute is compared in tests/unit/models; this is about wiring, files and messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/safetensors.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

static Launch run;
static char golden[600], models[600];

/* ---- nets of random numbers ---------------------------------------------------------------------------- */

enum {
    TENSORS_MAX = 512,
    D = 256,
    TEXT = 32,
    POOLED = 32,
    VISION = 72,
    TOKENS = 16,
    LAYERS = 20
};

typedef struct Net {
    SafeItem items[TENSORS_MAX];
    char names[TENSORS_MAX][96];
    int64_t shapes[TENSORS_MAX][4];
    size_t n;
    uint64_t seed;
} Net;

/* Values in about -1..1 over the square root of a row's length. */
static void add(Net *net, const char *name, int64_t a, int64_t b, int64_t c)
{
    size_t i = net->n++;
    int64_t columns = b ? b * (c ? c * c : 1) : 1, count = a * columns;
    float *data = mem_alloc_array((size_t)count, sizeof *data);
    float scale = b ? 1.0f / (float)(columns < 16 ? 4 : columns < 300 ? 16 : 32) : 0.1f;

    assert_non_null(data);
    assert_true(i < TENSORS_MAX);
    for (int64_t k = 0; k < count; k++) {
        net->seed = net->seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[k] = ((float)(net->seed >> 40) / 8388608.0f - 1.0f) * scale * 2;
    }
    snprintf(net->names[i], sizeof net->names[i], "%s", name);
    memcpy(net->shapes[i], (int64_t[4]){ a, b, c, c }, sizeof net->shapes[i]);
    net->items[i] = (SafeItem){ .name = net->names[i],
                                .type = K_F32,
                                .ndim = c   ? 4
                                        : b ? 2
                                            : 1,
                                .shape = net->shapes[i],
                                .data = data };
}

static void add_linear(Net *net, const char *layer, int64_t rows, int64_t columns)
{
    char name[112];
    snprintf(name, sizeof name, "%s.weight", layer);
    add(net, name, rows, columns, 0);
    snprintf(name, sizeof name, "%s.bias", layer);
    add(net, name, rows, 0, 0);
}

static void add_conv(Net *net, const char *block, int i, int64_t in, int64_t side)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%d.weight", block, i);
    add(net, name, 16, in, side);
    snprintf(name, sizeof name, "%s.%d.bias", block, i);
    add(net, name, 16, 0, 0);
}

/* Layer names with sizes in D; 0 columns: a vector of heads' width. */
typedef struct Layer {
    const char *name;
    int64_t rows, columns;
} Layer;

/* clang-format off */
static const Layer bfl_layers[] = {
    { "img_in", D, 64 }, { "txt_in", D, TEXT }, { "pos_embed_input", D, 64 },
    { "time_in.in_layer", D, 256 }, { "time_in.out_layer", D, D },
    { "guidance_in.in_layer", D, 256 }, { "guidance_in.out_layer", D, D },
    { "vector_in.in_layer", D, POOLED }, { "vector_in.out_layer", D, D },
    { "double_blocks.0.img_mod.lin", 6 * D, D }, { "double_blocks.0.txt_mod.lin", 6 * D, D },
    { "double_blocks.0.img_attn.qkv", 3 * D, D }, { "double_blocks.0.txt_attn.qkv", 3 * D, D },
    { "double_blocks.0.img_attn.proj", D, D }, { "double_blocks.0.txt_attn.proj", D, D },
    { "double_blocks.0.img_mlp.0", 4 * D, D }, { "double_blocks.0.txt_mlp.0", 4 * D, D },
    { "double_blocks.0.img_mlp.2", D, 4 * D }, { "double_blocks.0.txt_mlp.2", D, 4 * D },
    { NULL, 0, 0 },
};
static const Layer diffusers_layers[] = {
    { "x_embedder", D, 64 }, { "context_embedder", D, TEXT },
    { "time_text_embed.timestep_embedder.linear_1", D, 256 }, { "time_text_embed.timestep_embedder.linear_2", D, D },
    { "time_text_embed.guidance_embedder.linear_1", D, 256 }, { "time_text_embed.guidance_embedder.linear_2", D, D },
    { "time_text_embed.text_embedder.linear_1", D, POOLED }, { "time_text_embed.text_embedder.linear_2", D, D },
    { "transformer_blocks.0.norm1.linear", 6 * D, D }, { "transformer_blocks.0.norm1_context.linear", 6 * D, D },
    { "transformer_blocks.0.attn.to_q", D, D }, { "transformer_blocks.0.attn.to_k", D, D }, { "transformer_blocks.0.attn.to_v", D, D },
    { "transformer_blocks.0.attn.add_q_proj", D, D }, { "transformer_blocks.0.attn.add_k_proj", D, D }, { "transformer_blocks.0.attn.add_v_proj", D, D },
    { "transformer_blocks.0.attn.to_out.0", D, D }, { "transformer_blocks.0.attn.to_add_out", D, D },
    { "transformer_blocks.0.ff.net.0.proj", 4 * D, D }, { "transformer_blocks.0.ff.net.2", D, 4 * D },
    { "transformer_blocks.0.ff_context.net.0.proj", 4 * D, D }, { "transformer_blocks.0.ff_context.net.2", D, 4 * D },
    { "controlnet_blocks.0", D, D },
    { NULL, 0, 0 },
};
/* clang-format on */

static void add_layers(Net *net, const Layer *layers)
{
    for (; layers->name; layers++)
        add_linear(net, layers->name, layers->rows, layers->columns);
}

static void save(Net *net, const char *folder, const char *name)
{
    char path[900];
    Error err = { 0 };
    snprintf(path, sizeof path, "%s/%s", models, folder);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/%s", models, folder, name);
    assert_ok(safetensors_write(path, net->items, net->n, NULL, 0, &err), &err);
    for (size_t i = 0; i < net->n; i++)
        mem_free((void *)(uintptr_t)net->items[i].data);
    net->n = 0;
}

static void make_bfl(Net *net, bool misto)
{
    static const int64_t sides[10] = { 3, 1, 3, 3, 3, 3, 3, 3, 1, 3 };
    add_layers(net, bfl_layers);
    for (int s = 0; s < 4; s++)
        add(net,
            (const char *const[]){ "double_blocks.0.img_attn.norm.query_norm.scale",
                                   "double_blocks.0.img_attn.norm.key_norm.scale",
                                   "double_blocks.0.txt_attn.norm.query_norm.scale",
                                   "double_blocks.0.txt_attn.norm.key_norm.scale" }[s],
            128, 0, 0);
    add_linear(net, misto ? "controlnet_blocks.0.linear" : "controlnet_blocks.0", D, D);
    for (int i = 0; i < (misto ? 10 : 8); i++)
        add_conv(net, misto ? "input_cond_block.encoder" : "input_hint_block", 2 * i,
                 i ? 16 : 3, misto ? sides[i] : 3);
    save(net, "controlnet", misto ? "misto.safetensors" : "xlabs.safetensors");
}

static void make_latent(Net *net, int64_t hint, int64_t modes, const char *name)
{
    static const char *const norms[4] = { "transformer_blocks.0.attn.norm_q.weight",
                                          "transformer_blocks.0.attn.norm_k.weight",
                                          "transformer_blocks.0.attn.norm_added_q.weight",
                                          "transformer_blocks.0.attn.norm_added_k.weight" };
    add_layers(net, diffusers_layers);
    for (int s = 0; s < 4; s++)
        add(net, norms[s], 128, 0, 0);
    add_linear(net, "controlnet_x_embedder", D, hint);
    if (modes) add(net, "controlnet_mode_embedder.weight", modes, D, 0);
    save(net, "controlnet", name);
}

static void make_vision(Net *net)
{
    static const Layer layers[] = { { "layer_norm1", VISION, 0 },
                                    { "layer_norm2", VISION, 0 },
                                    { "self_attn.q_proj", VISION, VISION },
                                    { "self_attn.k_proj", VISION, VISION },
                                    { "self_attn.v_proj", VISION, VISION },
                                    { "self_attn.out_proj", VISION, VISION },
                                    { "mlp.fc1", 100, VISION },
                                    { "mlp.fc2", VISION, 100 } };
    char name[96];
    add(net, "vision_model.embeddings.patch_embedding.weight", VISION, 3, 14);
    add(net, "vision_model.embeddings.patch_embedding.bias", VISION, 0, 0);
    add(net, "vision_model.embeddings.position_embedding.weight", TOKENS, VISION, 0);
    add_linear(net, "vision_model.post_layernorm", VISION, 0);
    for (int i = 0; i < LAYERS; i++)
        for (size_t k = 0; k < sizeof layers / sizeof *layers; k++) {
            snprintf(name, sizeof name, "vision_model.encoder.layers.%d.%s", i, layers[k].name);
            add_linear(net, name, layers[k].rows, layers[k].columns);
        }
    save(net, "clip_vision", "vision.safetensors");
}

static void make_style(Net *net)
{
    static const char *const levels[3] = { "high", "mid", "low" };
    char name[96];
    add_linear(net, "redux_up", 64, VISION);
    add_linear(net, "redux_down", TEXT, 64);
    save(net, "style_models", "redux.safetensors");
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "feature_embedder.%s_embedding_linear.0", levels[i]);
        add_linear(net, name, 4, TOKENS);
        snprintf(name, sizeof name, "feature_embedder.%s_layer_norm", levels[i]);
        add_linear(net, name, VISION, 0);
        snprintf(name, sizeof name, "feature_embedder.%s_projection", levels[i]);
        add_linear(net, name, D, VISION);
    }
    save(net, "model_patches", "uso.safetensors");
}

static int make_models(void **state)
{
    Net *net = mem_calloc(1, sizeof *net);
    (void)state;
    if (!net) return -1;
    net->seed = 7;
    mkdir(models, 0755);
    make_bfl(net, false);
    make_bfl(net, true);
    make_latent(net, 64, 10, "union.safetensors");
    make_latent(net, 64, 3, "union3.safetensors");
    make_latent(net, 68, 0, "inpaint.safetensors");
    make_vision(net);
    make_style(net);
    mem_free(net);
    return 0;
}

/* ---- workflows --------------------------------------------------------------------------------------------- */

#define NODE(id, class, inputs)                                                                \
    "\"" id "\":{\"class_type\":\"" class "\",\"inputs\":{" inputs "}}"
#define LINK(id) "[\"" id "\",0]"

/* What comes before the sampler, with 20: the picture of 64 x 64, 5: prompt, 6: negative, 8: the latent. */
#define BASE                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            \
    NODE("1", "UNETLoader",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                             \
         "\"unet_name\":\"tiny-flux1-dev.safetensors\",\"weight_dtype\":\"default\"")                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   \
    "," NODE(                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                           \
        "2", "DualCLIPLoader",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
        "\"clip_name1\":\"tiny-clip_l.safetensors\",\"clip_name2\":"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    \
        "\"tiny-t5xxl.safetensors\",\"type\":\"flux\"") "," NODE("3", "VAELoader",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      \
                                                                 "\"vae_name\":\"tiny-ae."                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                              \
                                                                 "safetensors\"") "," NODE("5",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         \
                                                                                           "C"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "L"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "I"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "P"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "T"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "e"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "x"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "t"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "E"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "n"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "c"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "o"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "d"                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          \
                                                                                           "e",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         \
                                                                                           "\"text\":\"a red fox\",\"clip\":" LINK("2")) "," NODE("6", "CLIPTextEncode", "\"text\":\"\",\"clip\":" LINK("2")) "," NODE("20",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            \
                                                                                                                                                                                                                       "EmptyImage", "\"width\":80,\"height\":64,\"batch_size\":1,\"color\":3381759") "," NODE("21", "LoadImage", "\"image\":\"lighthouse_day.png\"") "," NODE("22", "CLIPVisionLoader", "\"clip_name\":\"vision.safetensors\"") "," NODE("23",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         \
                                                                                                                                                                                                                                                                                                                                                                                                                                                          "CLIPVisionEncode", "\"clip_vision\":" LINK("22") ",\"image\":" LINK("20") ",\"crop\":\"center\"") "," NODE("24",                                                                                                                                                                                                                                                                                                                                                                                                                             \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      "StyleModelLoader", "\"style_model_name\":\"redux.safetensors\"") "," NODE("25",                                                                                                                                                                                                                                                                                                                                                  \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                 "ModelPatchLoader",                                                                                                                                                                                                                                                                                                                                    \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                 "\"name\":\"uso.safetensors\"") "," NODE("31",                                                                                                                                                                                                                                                                                                         \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          "ControlNetLoader", "\"control_net_name\":\"xlabs.safetensors\"") "," NODE("32",                                                                                                                                                                                                                              \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "ControlNetLoader", "\"control_net_name\":\"union.safetensors\"") "," NODE("33",                                                                                                                                                   \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "ControlNetLoader", "\"control_net_name\":\"misto.safetensors\"") "," NODE("34",                                                                        \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                           "ControlNetLoader",                                                          \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                           "\"control_net_name\":\"inpaint.safetensors\"") "," NODE("35",               \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "ControlNetLoader", \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "\"control_net_name\":\"union3.safetensors\"") ","

#define APPLY(id, positive, negative, net, strength, start, end, more)                         \
    NODE(id, "ControlNetApplyAdvanced",                                                        \
         "\"positive\":" positive ",\"negative\":" negative                                    \
         ",\"control_net\":" LINK(net) ",\"image\":" LINK("20") ",\"strength\":" strength      \
                                                                ",\"start_percent\":" start    \
                                                                ",\"end_percent\":" end more)
#define ON(id, net, strength)                                                                  \
    APPLY(id, LINK("5"), LINK("6"), net, strength, "0", "1", ",\"vae\":" LINK("3"))
#define STYLE(strength, type)                                                                  \
    NODE("40", "StyleModelApply",                                                              \
         "\"conditioning\":" LINK("5") ",\"style_model\":" LINK(                               \
             "24") ",\"clip_vision_output\":" LINK("23") ",\"strength\":" strength             \
                                                         ",\"strength_type\":\"" type "\"")
#define TYPE(id, net, type)                                                                    \
    NODE(id, "SetUnionControlNetType", "\"control_net\":" LINK(net) ",\"type\":\"" type "\"")

typedef struct Flow {
    const char *name;
    const char *nodes;    /* more nodes; NULL = none */
    const char *positive; /* id of the prompt */
    const char *negative; /* NULL = 6 */
    const char *model;    /* NULL = 1 */
    const char *cfg;      /* NULL = 1 */
    int side, batch;      /* 0 = 64, 1 */
} Flow;

static const char *write_flow(const Flow *f)
{
    Str s = { 0 };
    const char *negative = f->negative ? f->negative : "6";
    int side = f->side ? f->side : 64, batch = f->batch ? f->batch : 1;

    str_printf(&s, "{%s", BASE);
    if (f->nodes) str_printf(&s, "%s,", f->nodes);
    str_printf(&s,
               "\"8\":{\"class_type\":\"EmptySD3LatentImage\",\"inputs\":{\"width\":%d,"
               "\"height\":%d,\"batch_size\":%d}},",
               side, side, batch);
    str_printf(&s,
               "\"9\":{\"class_type\":\"KSampler\",\"inputs\":{\"model\":[\"%s\",0],\"seed\":4,"
               "\"steps\":2,\"cfg\":%s,\"sampler_name\":\"euler\",\"scheduler\":\"simple\","
               "\"positive\":[\"%s\",0],\"negative\":[\"%s\",%d],\"latent_image\":[\"8\",0],"
               "\"denoise\":1}},",
               f->model ? f->model : "1", f->cfg ? f->cfg : "1", f->positive, negative,
               strcmp(negative, f->positive) == 0);
    str_printf(&s, "\"10\":{\"class_type\":\"SaveLatent\",\"inputs\":{\"samples\":[\"9\",0],"
                   "\"filename_prefix\":\"x\"}}}");
    assert_false(s.failed);
    const char *path = launch_write(&run, "flow.json", s.text, s.length);
    str_fini(&s);
    return path;
}

static void start(const char *command, const char *file, const char *extra)
{
    char input[700], shared[700];
    snprintf(input, sizeof input, "%s/graphs/input", run.source);
    snprintf(shared, sizeof shared, "%s/models", golden);
    launch(&run, (const char *const[]){ command, file, "--models", shared, "--models", models,
                                        "--input", input, "--output", run.output, "--precision",
                                        "exact", "--threads", "2", extra, NULL });
}

/* The saved latent's samples (mem_free). */
static Tensor *drawn(const Flow *f)
{
    char path[500];
    Error err = { 0 };
    Weights *w = NULL;
    int64_t shape[K_MAX_DIMS];
    Tensor *t = NULL;

    launch_clear(&run);
    start("run", write_flow(f), NULL);
    if (run.status != 0) fail_msg("%s: %s", f->name, run.err);
    snprintf(path, sizeof path, "%s/x_00001_.latent", run.output);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    int n = weights_shape(w, "latent_tensor", shape);
    assert_ok(tensor_new(K_F32, n, shape, &t, &err), &err);
    assert_ok(weights_f32_into(w, "latent_tensor", tensor_f32(t), tensor_count(t), &err), &err);
    weights_unref(w);
    for (int64_t i = 0; i < tensor_count(t); i++)
        if (!(tensor_f32(t)[i] < 1e6f && tensor_f32(t)[i] > -1e6f))
            fail_msg("%s: no number", f->name);
    return t;
}

/* Pairs whose pictures must be the same, or must not. */
typedef struct Pair {
    bool same;
    Flow a, b;
} Pair;

static const Flow plain = { .name = "plain", .positive = "5" };

/* clang-format off */
static const Pair pairs[] = {
    { false, { .name = "union net", .nodes = ON("50", "32", "0.7"), .positive = "50", .negative = "50" }, { .name = "plain", .positive = "5" } },
    { true, { .name = "strength 0", .nodes = ON("50", "32", "0"), .positive = "50", .negative = "50" }, { .name = "plain", .positive = "5" } },
    { true, { .name = "after the end", .nodes = APPLY("50", LINK("5"), LINK("6"), "31", "1", "1", "1", ""), .positive = "50", .negative = "50" }, { .name = "plain", .positive = "5" } },
    { false, { .name = "first step alone", .nodes = APPLY("50", LINK("5"), LINK("6"), "31", "1", "0", "0.2", ""), .positive = "50", .negative = "50" },
             { .name = "both steps", .nodes = APPLY("50", LINK("5"), LINK("6"), "31", "1", "0", "1", ""), .positive = "50", .negative = "50" } },
    { true, { .name = "auto", .nodes = TYPE("51", "32", "auto") "," ON("50", "51", "0.7"), .positive = "50", .negative = "50" }, { .name = "no type", .nodes = ON("50", "32", "0.7"), .positive = "50", .negative = "50" } },
    { false, { .name = "a type", .nodes = TYPE("51", "32", "depth") "," ON("50", "51", "0.7"), .positive = "50", .negative = "50" }, { .name = "no type", .nodes = ON("50", "32", "0.7"), .positive = "50", .negative = "50" } },
    { true, { .name = "a type of pixels", .nodes = TYPE("51", "31", "depth") "," ON("50", "51", "0.7"), .positive = "50", .negative = "50" }, { .name = "none", .nodes = ON("50", "31", "0.7"), .positive = "50", .negative = "50" } },
    { false, { .name = "MistoLine", .nodes = ON("50", "33", "0.7"), .positive = "50", .negative = "50" }, { .name = "plain", .positive = "5" } },
    { false, { .name = "a chain", .nodes = ON("50", "31", "0.5") "," APPLY("52", LINK("50"), "[\"50\",1]", "32", "0.5", "0", "1", ",\"vae\":" LINK("3")), .positive = "52", .negative = "52" },
             { .name = "its first", .nodes = ON("50", "31", "0.5"), .positive = "50", .negative = "50" } },
    { true, { .name = "old node", .nodes = NODE("50", "ControlNetApply", "\"conditioning\":" LINK("5") ",\"control_net\":" LINK("31") ",\"image\":" LINK("20") ",\"strength\":0.7"), .positive = "50", .cfg = "3" },
            { .name = "on both sides", .nodes = ON("50", "31", "0.7"), .positive = "50", .negative = "50", .cfg = "3" } },
    { true, { .name = "SD3's node", .nodes = NODE("50", "ControlNetApplySD3", "\"positive\":" LINK("5") ",\"negative\":" LINK("6") ",\"control_net\":" LINK("32") ",\"vae\":" LINK("3")
              ",\"image\":" LINK("20") ",\"strength\":0.7,\"start_percent\":0,\"end_percent\":1"), .positive = "50", .negative = "50", .cfg = "3" },
            { .name = "the usual node", .nodes = ON("50", "32", "0.7"), .positive = "50", .negative = "50", .cfg = "3" } },
    { false, { .name = "inpainting", .nodes = NODE("53", "SolidMask", "\"value\":1,\"width\":40,\"height\":64") ","
               NODE("50", "ControlNetInpaintingAliMamaApply", "\"positive\":" LINK("5") ",\"negative\":" LINK("6") ",\"control_net\":" LINK("34") ",\"vae\":" LINK("3")
               ",\"image\":" LINK("20") ",\"mask\":" LINK("53") ",\"strength\":0.7,\"start_percent\":0,\"end_percent\":1"), .positive = "50", .negative = "50" },
             { .name = "without mask", .nodes = ON("50", "34", "0.7"), .positive = "50", .negative = "50" } },
    { true, { .name = "a net without mask", .nodes = NODE("53", "SolidMask", "\"value\":1,\"width\":40,\"height\":64") ","
              NODE("50", "ControlNetInpaintingAliMamaApply", "\"positive\":" LINK("5") ",\"negative\":" LINK("6") ",\"control_net\":" LINK("32") ",\"vae\":" LINK("3")
              ",\"image\":" LINK("20") ",\"mask\":" LINK("53") ",\"strength\":0.7,\"start_percent\":0,\"end_percent\":1"), .positive = "50", .negative = "50" },
            { .name = "the usual node", .nodes = ON("50", "32", "0.7"), .positive = "50", .negative = "50" } },
    { false, { .name = "in an area", .nodes = ON("50", "31", "0.7") "," NODE("54", "ConditioningSetArea", "\"conditioning\":" LINK("50") ",\"width\":64,\"height\":64,\"x\":64,\"y\":0,\"strength\":1") ","
               NODE("55", "ConditioningCombine", "\"conditioning_1\":" LINK("54") ",\"conditioning_2\":" LINK("5")), .positive = "55", .side = 128 },
             { .name = "plain", .positive = "5", .side = 128 } },
    { false, { .name = "Redux", .nodes = STYLE("1", "multiply"), .positive = "40" }, { .name = "plain", .positive = "5" } },
    { true, { .name = "bias 1", .nodes = STYLE("1", "attn_bias"), .positive = "40" }, { .name = "factor 1", .nodes = STYLE("1", "multiply"), .positive = "40" } },
    { false, { .name = "bias 0.3", .nodes = STYLE("0.3", "attn_bias"), .positive = "40" }, { .name = "factor 1", .nodes = STYLE("1", "multiply"), .positive = "40" } },
    { false, { .name = "USO", .nodes = NODE("41", "USOStyleReference", "\"model\":" LINK("1") ",\"model_patch\":" LINK("25") ",\"clip_vision_output\":" LINK("23")), .positive = "5", .model = "41" },
             { .name = "plain", .positive = "5" } },
    { true, { .name = "no references", .nodes = NODE("42", "FluxKVCache", "\"model\":" LINK("1")), .positive = "5", .model = "42" }, { .name = "plain", .positive = "5" } },
    { false, { .name = "kept references", .nodes = NODE("42", "FluxKVCache", "\"model\":" LINK("1")) "," NODE("43", "VAEEncode", "\"pixels\":" LINK("20") ",\"vae\":" LINK("3")) ","
               NODE("44", "ReferenceLatent", "\"conditioning\":" LINK("5") ",\"latent\":" LINK("43")), .positive = "44", .model = "42" },
             { .name = "plain", .positive = "5" } },
    { true, { .name = "Shakker's types", .nodes = NODE("51", "SetShakkerLabsUnionControlNetType", "\"control_net\":" LINK("32") ",\"type\":\"depth\"") "," ON("50", "51", "0.7"), .positive = "50", .negative = "50" },
            { .name = "the core's", .nodes = TYPE("51", "32", "depth (InstantX)") "," ON("50", "51", "0.7"), .positive = "50", .negative = "50" } },
};
/* clang-format on */

static void test_pair(void **state)
{
    const Pair *p = *state;
    Tensor *a = drawn(&p->a), *b = drawn(&p->b);
    double d = tensor_rel_diff(a, b);
    print_message("%s and %s: %.3g apart\n", p->a.name, p->b.name, d);
    if (p->same && d != 0) fail_msg("%s and %s differ by %g", p->a.name, p->b.name, d);
    if (!p->same && !(d > 1e-5)) fail_msg("%s and %s are the same", p->a.name, p->b.name);
    tensor_unref(a);
    tensor_unref(b);
}

/* A batch of two with the same hint begins with the picture of one. */
static void test_batch(void **state)
{
    Flow f = pairs[0].a;
    (void)state;
    Tensor *one = drawn(&f);
    f.batch = 2;
    Tensor *two = drawn(&f);
    assert_int_equal(two->shape[0], 2);
    assert_memory_equal(tensor_f32(one), tensor_f32(two),
                        (size_t)tensor_count(one) * sizeof(float));
    tensor_unref(one);
    tensor_unref(two);
}

/* ---- plans --------------------------------------------------------------------------------------------------- */

static long long plan_number(const char *key)
{
    const char *at = run.out, *last = NULL;
    while ((at = strstr(at, key)))
        last = at++;
    if (!last) fail_msg("no %s in %s", key, run.out);
    return strtoll(last + strlen(key) + 3, NULL, 10);
}

/* Model and net are in memory together, and so are residuals. */
static void test_plan(void **state)
{
    (void)state;
    start("plan", write_flow(&plain), "--json");
    if (run.status != 0) fail_msg("%s", run.err);
    long long weights = plan_number("weights_peak"), arena = plan_number("arena_peak");
    start("plan", write_flow(&pairs[0].a), "--json");
    if (run.status != 0) fail_msg("%s", run.err);
    print_message("weights %lld and %lld, arena %lld and %lld\n", weights,
                  plan_number("weights_peak"), arena, plan_number("arena_peak"));
    assert_true(plan_number("weights_peak") - weights > 8 << 20);
    assert_true(plan_number("arena_peak") >= arena);
}

/* ---- refusals -------------------------------------------------------------------------------------------------- */

typedef struct Refusal {
    Flow flow;
    int status;
    const char *says[5];
} Refusal;

/* clang-format off */
static const Refusal refusals[] = {
    { { .name = "pixels on an odd latent", .nodes = ON("50", "33", "1"), .positive = "50", .negative = "50", .side = 72 }, 1, { "node 9 (KSampler)", "misto.safetensors", "9x9 cells", "multiples of 16" } },
    { { .name = "a type that is not there", .nodes = TYPE("51", "35", "repaint") "," ON("50", "51", "1"), .positive = "50", .negative = "50" }, 1, { "type 7 is asked for, the net has types 0 to 2", "union3", "SetUnionControlNetType" } },
    { { .name = "no VAE", .nodes = APPLY("50", LINK("5"), LINK("6"), "32", "1", "0", "1", ""), .positive = "50", .negative = "50" }, 1, { "node 50 (ControlNetApplyAdvanced)", "as a latent and no VAE is connected", "connect the VAE" } },
};
/* clang-format on */

static void test_refusal(void **state)
{
    const Refusal *r = *state;
    launch_clear(&run);
    start("run", write_flow(&r->flow), NULL);
    launch_expect(&run, r->status, r->says);
    assert_int_equal(launch_outputs(&run), 0);
}

/* Files in a folder where they do not belong are called by their names. */
static void test_wrong_files(void **state)
{
    static const struct {
        const char *folder, *file, *from, *class, *input, *says;
    } files[] = {
        { "controlnet", "a.safetensors", "style_models/redux.safetensors", "ControlNetLoader",
          "control_net_name",
          "no FLUX.1 ControlNet: it looks like a Redux style model; load it with "
          "StyleModelLoader" },
        { "clip_vision", "b.safetensors", "controlnet/union.safetensors", "CLIPVisionLoader",
          "clip_name",
          "no SigLIP vision model: it looks like a FLUX.1 ControlNet; load it with "
          "ControlNetLoader" },
        { "style_models", "c.safetensors", "clip_vision/vision.safetensors", "StyleModelLoader",
          "style_model_name",
          "no Redux style model: it looks like a SigLIP vision model; load it with "
          "CLIPVisionLoader" },
        { "model_patches", "d.safetensors", "controlnet/xlabs.safetensors", "ModelPatchLoader",
          "name",
          "no USO model patch: it looks like a FLUX.1 ControlNet; load it with "
          "ControlNetLoader" },
        { "diffusion_models", "e.safetensors", "model_patches/uso.safetensors", "UNETLoader",
          "unet_name",
          "no FLUX transformer: it looks like a USO model patch; load it with "
          "ModelPatchLoader" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char from[900], to[900], text[700];
        Str s = { 0 };
        snprintf(from, sizeof from, "%s/%s", models, files[i].folder);
        mkdir(from, 0755);
        snprintf(from, sizeof from, "%s/%s", models, files[i].from);
        snprintf(to, sizeof to, "%s/%s/%s", models, files[i].folder, files[i].file);
        unlink(to);
        assert_int_equal(symlink(from, to), 0);
        snprintf(text, sizeof text,
                 "{\"60\":{\"class_type\":\"%s\",\"inputs\":{\"%s\":\"%s\"%s}},"
                 "\"61\":{\"class_type\":\"PreviewAny\",\"inputs\":{\"source\":[\"60\",0]}}}",
                 files[i].class, files[i].input, files[i].file,
                 strcmp(files[i].class, "UNETLoader") ? "" : ",\"weight_dtype\":\"default\"");
        start("run", launch_write(&run, "flow.json", text, strlen(text)), NULL);
        launch_expect(&run, 1, (const char *const[]){ files[i].file, files[i].says, NULL });
        str_fini(&s);
        unlink(to);
    }
}

/* FLUX.2 has other blocks; the reason is said. */
static void test_flux2(void **state)
{
    static const char flow[] =
        "{" NODE("1", "UNETLoader", "\"unet_name\":\"flux-2-klein-4b.safetensors\",\"weight_dtype\":\"default\"") "," NODE("2", "CLIPLoader", "\"clip_name\":\"qwen_3_4b.safetensors\",\"type\":\"flux2\"") "," NODE(
            "5", "CLIPTextEncode",
            "\"text\":\"a\",\"clip\":" LINK(
                "2")) "," NODE("20", "EmptyImage",
                               "\"width\":64,\"height\":64,\"batch_size\":1,\"color\":"
                               "0") "," NODE("31", "ControlNetLoader",
                                             "\"control_net_name\":\"xlabs."
                                             "safetensors\"") "," APPLY("50", LINK("5"),
                                                                        LINK("5"), "31", "1",
                                                                        "0",
                                                                        "1", "") "," NODE("8",
                                                                                          "Empt"
                                                                                          "yFlu"
                                                                                          "x2La"
                                                                                          "tent"
                                                                                          "Imag"
                                                                                          "e",
                                                                                          "\"wi"
                                                                                          "dth"
                                                                                          "\":"
                                                                                          "64,"
                                                                                          "\"he"
                                                                                          "ight"
                                                                                          "\":"
                                                                                          "64,"
                                                                                          "\"ba"
                                                                                          "tch_"
                                                                                          "size"
                                                                                          "\":"
                                                                                          "1") "," NODE("9",
                                                                                                        "KSampler",
                                                                                                        "\"model\":" LINK("1") ",\"seed\":4,\"steps\":2,\"cfg\":1,\"sampler_name\":\"euler\",\"scheduler\":\"simple\",\"positive\":" LINK("50") ",\"negative\":[\"50\",1],\"latent_image\":" LINK(
                                                                                                            "8") ",\"denoise\":1") "," NODE("10",
                                                                                                                                            "SaveLatent",
                                                                                                                                            "\"samples\":" LINK(
                                                                                                                                                "9") ",\"filename_prefix\":\"x\"") "}";
    char own[700];
    (void)state;
    snprintf(own, sizeof own, "%s/tests/data/models", run.source);
    launch(&run, (const char *const[]){
                     "run", launch_write(&run, "flow.json", flow, strlen(flow)), "--models",
                     own, "--models", models, "--output", run.output, "--threads", "2", NULL });
    launch_expect(&run, 1,
                  (const char *const[]){ "node 9 (KSampler)",
                                         "is for FLUX.1 and the model is flux2",
                                         "use a FLUX.1 model", NULL });
}

/* ---- runner --------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    enum {
        PAIRS = sizeof pairs / sizeof *pairs,
        REFUSALS = sizeof refusals / sizeof *refusals
    };
    struct CMUnitTest tests[PAIRS + REFUSALS + 4];
    size_t n = 0;
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    if (!shared_path("golden", golden, sizeof golden)) {
        printf("skipped: golden is not here\n");
        return 77;
    }
    launch_open(&run, argv[1], argv[2]);
    snprintf(models, sizeof models, "%s/models", run.folder);
    for (size_t i = 0; i < PAIRS; i++)
        tests[n++] = (struct CMUnitTest){ pairs[i].a.name, test_pair, NULL, NULL,
                                          (void *)(uintptr_t)&pairs[i] };
    for (size_t i = 0; i < REFUSALS; i++)
        tests[n++] = (struct CMUnitTest){ refusals[i].flow.name, test_refusal, NULL, NULL,
                                          (void *)(uintptr_t)&refusals[i] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_batch);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_plan);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_wrong_files);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_flux2);
    int failed = _cmocka_run_group_tests("side nets", tests, n, make_models, NULL);
    launch_close(&run);
    return failed;
}
