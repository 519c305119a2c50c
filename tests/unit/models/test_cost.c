/* test_cost.c - what a published model costs is known from the header of its file alone. */
#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/str.h"

/* Tensors of a FLUX.2 transformer of the given sizes; the data is a hole in the file. */
typedef struct Header {
    Str text;
    int64_t at;
} Header;

static void tensor(Header *h, int64_t rows, int64_t columns, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void tensor(Header *h, int64_t rows, int64_t columns, const char *format, ...)
{
    char name[96];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    int64_t size = rows * (columns ? columns : 1) * 2;
    str_printf(&h->text, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld", h->at ? "," : "", name,
               (long long)rows);
    if (columns) str_printf(&h->text, ",%lld", (long long)columns);
    str_printf(&h->text, "],\"data_offsets\":[%lld,%lld]}", (long long)h->at,
               (long long)(h->at + size));
    h->at += size;
}

static void double_block(Header *h, int i, int64_t d)
{
    static const char *const streams[2] = { "img", "txt" };
    for (int s = 0; s < 2; s++) {
        tensor(h, 3 * d, d, "double_blocks.%d.%s_attn.qkv.weight", i, streams[s]);
        tensor(h, 128, 0, "double_blocks.%d.%s_attn.norm.query_norm.scale", i, streams[s]);
        tensor(h, 128, 0, "double_blocks.%d.%s_attn.norm.key_norm.scale", i, streams[s]);
        tensor(h, d, d, "double_blocks.%d.%s_attn.proj.weight", i, streams[s]);
        tensor(h, 6 * d, d, "double_blocks.%d.%s_mlp.0.weight", i, streams[s]);
        tensor(h, d, 3 * d, "double_blocks.%d.%s_mlp.2.weight", i, streams[s]);
    }
}

static void klein_4b(Header *h)
{
    const int64_t d = 3072;
    str_add(&h->text, "{");
    tensor(h, d, 128, "img_in.weight");
    tensor(h, d, 7680, "txt_in.weight");
    tensor(h, d, 256, "time_in.in_layer.weight");
    tensor(h, d, d, "time_in.out_layer.weight");
    tensor(h, 6 * d, d, "double_stream_modulation_img.lin.weight");
    tensor(h, 6 * d, d, "double_stream_modulation_txt.lin.weight");
    tensor(h, 3 * d, d, "single_stream_modulation.lin.weight");
    for (int i = 0; i < 5; i++)
        double_block(h, i, d);
    for (int i = 0; i < 20; i++) {
        tensor(h, 9 * d, d, "single_blocks.%d.linear1.weight", i);
        tensor(h, d, 4 * d, "single_blocks.%d.linear2.weight", i);
        tensor(h, 128, 0, "single_blocks.%d.norm.query_norm.scale", i);
        tensor(h, 128, 0, "single_blocks.%d.norm.key_norm.scale", i);
    }
    tensor(h, 2 * d, d, "final_layer.adaLN_modulation.1.weight");
    tensor(h, 128, d, "final_layer.linear.weight");
    str_add(&h->text, "}");
}

static Weights *open_klein(const char *path)
{
    Header h = { 0 };
    Weights *w = NULL;
    Error err = { 0 };
    klein_4b(&h);
    uint64_t length = h.text.length;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &length, 8), 8);
    assert_int_equal(write(fd, h.text.text, length), length);
    assert_int_equal(ftruncate(fd, (off_t)(8 + length) + h.at), 0);
    close(fd);
    str_fini(&h.text);
    if (weights_open(path, &(WeightsOptions){ .dummy = true }, &w, &err) != OK)
        fail_msg("%s", err.message);
    return w;
}

static void klein_4b_costs_what_its_sizes_say(void **state)
{
    (void)state;
    char path[64];
    Model *m = NULL;
    Error err = { 0 };
    snprintf(path, sizeof path, "/tmp/weft-klein-%d.safetensors", (int)getpid());
    Weights *w = open_klein(path);
    unlink(path);
    Host *h = open_host(false, true);
    if (model_open(h, w, "klein", &m, &err) != OK) fail_msg("%s", err.message);
    for (int side = 32; side <= 64; side *= 2) {
        ModelCost cost;
        float x = 0;
        ForwardCall f = {
            .x = &x, .size = { side, side }, .context = &x, .tokens = 512, .out = &x
        };
        if (model_cost(m, &f, &cost, &err) != OK) fail_msg("%s", err.message);
        print_message(
            "klein 4B at %d: %d operations, arena %zu bytes, weights %zu bytes, %.4g FLOP\n",
            side * 16, cost.operations, cost.arena_bytes, cost.weight_bytes, cost.flops);
        /* 13 D^2 weights per block and token, attention over all tokens, txt_in */
        double tokens = 512 + (double)side * side, d = 3072;
        double expected =
            25 * (2 * 13 * d * d * tokens + 4 * tokens * tokens * d) + 2 * 512 * 7680 * d;
        assert_true(cost.flops > expected && cost.flops < 1.002 * expected);
        assert_true(cost.weight_bytes > 7.7e9 && cost.weight_bytes < 7.8e9);
        if (model_forward(m, &f, &err) != OK) fail_msg("%s", err.message);
        assert_int_equal(host_use(h).arena_peak, cost.arena_bytes);
    }
    model_unref(m);
    host_free(h);
    weights_unref(w);
}

int group_cost(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(klein_4b_costs_what_its_sizes_say),
    };
    return cmocka_run_group_tests_name("cost", tests, NULL, NULL);
}
