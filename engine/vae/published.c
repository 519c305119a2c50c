/* published.c - the tensors of the published VAEs. */
#include "engine/vae/published.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/formats/file_name.h"

enum { LEVELS = 4, MAX_TENSORS = 300 };
static const int64_t widths[LEVELS] = { 128, 256, 512, 512 };

/* Tensors as they are listed; the published file has fewer than 260. */
typedef struct List {
    WeightsShape rows[MAX_TENSORS];
    size_t count;
} List;

/* A convolution with bias (size > 0), or the two vectors of a norm. */
static void add(List *l, int64_t out, int64_t in, int size, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void add(List *l, int64_t out, int64_t in, int size, const char *format, ...)
{
    char path[64];
    va_list args;

    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    if (l->count + 2 > MAX_TENSORS) return;
    WeightsShape *w = &l->rows[l->count++], *b = &l->rows[l->count++];
    *w = (WeightsShape){ .ndim = size ? 4 : 1, .shape = { out, in, size, size } };
    *b = (WeightsShape){ .ndim = 1, .shape = { out } };
    snprintf(w->name, sizeof w->name, "%s.weight", path);
    snprintf(b->name, sizeof b->name, "%s.bias", path);
}

static void add_block(List *l, const char *path, int64_t in, int64_t out)
{
    add(l, in, 0, 0, "%s.norm1", path);
    add(l, out, in, 3, "%s.conv1", path);
    add(l, out, 0, 0, "%s.norm2", path);
    add(l, out, out, 3, "%s.conv2", path);
    if (in != out) add(l, out, in, 1, "%s.nin_shortcut", path);
}

static void add_middle(List *l, const char *net, int64_t c)
{
    static const char *const layers[4] = { "q", "k", "v", "proj_out" };
    char path[48];

    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof path, "%s.mid.block_%d", net, i);
        add_block(l, path, c, c);
    }
    add(l, c, 0, 0, "%s.mid.attn_1.norm", net);
    for (int i = 0; i < 4; i++)
        add(l, c, c, 1, "%s.mid.attn_1.%s", net, layers[i]);
}

static void add_encoder(List *l, int64_t z)
{
    char path[48];
    int64_t c = widths[0];

    add(l, c, 3, 3, "encoder.conv_in");
    for (int level = 0; level < LEVELS; level++) {
        for (int j = 0; j < 2; j++) {
            snprintf(path, sizeof path, "encoder.down.%d.block.%d", level, j);
            add_block(l, path, c, widths[level]);
            c = widths[level];
        }
        if (level < LEVELS - 1) add(l, c, c, 3, "encoder.down.%d.downsample.conv", level);
    }
    add_middle(l, "encoder", c);
    add(l, c, 0, 0, "encoder.norm_out");
    add(l, 2 * z, c, 3, "encoder.conv_out");
}

static void add_decoder(List *l, int64_t z)
{
    char path[48];
    int64_t c = widths[LEVELS - 1];

    add(l, c, z, 3, "decoder.conv_in");
    add_middle(l, "decoder", c);
    for (int level = LEVELS - 1; level >= 0; level--) {
        for (int j = 0; j < 3; j++) {
            snprintf(path, sizeof path, "decoder.up.%d.block.%d", level, j);
            add_block(l, path, c, widths[level]);
            c = widths[level];
        }
        if (level > 0) add(l, c, c, 3, "decoder.up.%d.upsample.conv", level);
    }
    add(l, c, 0, 0, "decoder.norm_out");
    add(l, 3, c, 3, "decoder.conv_out");
}

/* What FLUX.2 has beside the networks. */
static void add_packing(List *l, int64_t z)
{
    add(l, 2 * z, 2 * z, 1, "encoder.quant_conv");
    add(l, z, z, 1, "decoder.post_quant_conv");
    static const char *const names[2] = { "bn.running_mean", "bn.running_var" };
    for (int i = 0; i < 2 && l->count < MAX_TENSORS; i++) {
        WeightsShape *s = &l->rows[l->count++];
        *s = (WeightsShape){ .ndim = 1, .shape = { 4 * z } };
        snprintf(s->name, sizeof s->name, "%s", names[i]);
    }
}

static bool holds(const char *name, const char *const *words)
{
    for (; *name; name++)
        for (size_t i = 0; words[i]; i++) {
            size_t n = 0;
            while (words[i][n] && tolower((unsigned char)name[n]) == words[i][n])
                n++;
            if (!words[i][n]) return true;
        }
    return false;
}

static bool is_flux2(const char *name, const char *family)
{
    static const char *const second[] = { "flux2", "flux-2", "flux.2", "flux_2", NULL };
    static const char *const first[] = { "flux1", "flux-1", "flux.1", "flux_1", NULL };
    if (holds(name, second)) return true;
    if (holds(name, first) || strcmp(name, "ae.safetensors") == 0) return false;
    return family && strcmp(family, "flux2") == 0;
}

Status vae_open_published(Host *h, const char *name, const char *family, Vae **out,
                          const char **what, Error *err)
{
    List l = { .count = 0 };
    Weights *w = NULL;
    bool flux2 = is_flux2(name, family);
    int64_t z = flux2 ? 32 : 16;

    add_encoder(&l, z);
    add_decoder(&l, z);
    if (flux2) add_packing(&l, z);
    TRY(weights_from_shapes(name, file_name_dtype(name), l.rows, l.count, &w, err));
    Status s = vae_open(h, w, name, out, err);
    weights_unref(w);
    if (s == OK) *what = flux2 ? "the FLUX.2 VAE" : "the FLUX.1 VAE";
    return s;
}
