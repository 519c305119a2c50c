/*
 * fuzz_weights.c - tables of tensors with quantisation records; what is taken must decode within its bytes.
 *
 * The input is either a model file's own bytes (GGUF, safetensors), or, starting with '#', a list of tensors, one a
 * line, of which a safetensors file is made, so that the fuzzer changes names, shapes, dtypes and records rather than
 * offsets:
 *   NAME DTYPE DIM DIM ...        contents are a pattern
 *   NAME "TEXT                    bytes of a U8 vector
 *   @TEXT                         the header's _quantization_metadata
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/weights.h"

enum { MAX_ITEMS = 40, MAX_DIMS = 4, MAX_ELEMENTS = 1 << 16, MAX_ROW = 1 << 16 };

typedef struct Made {
    SafeItem items[MAX_ITEMS];
    int64_t shapes[MAX_ITEMS][MAX_DIMS];
    size_t count;
    SafePair pair;
} Made;

/* Contents of any tensor, filled once. */
static uint8_t pattern[MAX_ELEMENTS * 8];

static void fill_pattern(void)
{
    for (size_t i = 0; pattern[8] == 0 && i < sizeof pattern; i++)
        pattern[i] = (uint8_t)((i * 167 >> 3) | 1);
}

static KDtype dtype_of(const char *name)
{
    for (int t = 0; t < K_DTYPE_COUNT; t++)
        if (strcmp(k_dtype_name((KDtype)t), name) == 0) return (KDtype)t;
    return K_U8;
}

/* Dimensions of a line; a tensor of too many elements becomes one of none. */
static void read_dims(Made *m, SafeItem *item, char *text)
{
    int64_t count = 1, *shape = m->shapes[m->count];

    item->shape = shape;
    for (char *at = strtok(text, " "); at && item->ndim < MAX_DIMS; at = strtok(NULL, " ")) {
        int64_t d = strtoll(at, NULL, 10);
        if (d < 0 || d > MAX_ELEMENTS || (count > 0 && d > MAX_ELEMENTS / count)) d = 0;
        shape[item->ndim++] = d;
        count *= d;
    }
}

static void read_line(Made *m, char *line)
{
    SafeItem *item = &m->items[m->count];
    char *rest = strchr(line, ' ');

    if (line[0] == '@') {
        m->pair = (SafePair){ .key = "_quantization_metadata", .value = line + 1 };
        return;
    }
    if (!rest || m->count == MAX_ITEMS) return;
    *rest++ = 0;
    *item = (SafeItem){ .name = line, .type = K_U8, .data = pattern };
    if (rest[0] == '"') {
        m->shapes[m->count][0] = (int64_t)strlen(rest + 1);
        item->ndim = 1;
        item->shape = m->shapes[m->count];
        item->data = rest + 1;
    } else {
        char *dims = strchr(rest, ' ');
        if (dims) *dims++ = 0;
        item->type = dtype_of(rest);
        read_dims(m, item, dims ? dims : rest + strlen(rest));
    }
    m->count++;
}

static void look_at(const Weights *w, const char *name)
{
    static float row[MAX_ROW];
    static int8_t codes[MAX_ROW];
    KWeight k;
    int64_t n = weights_elements(w, name);
    float *all = n >= 0 && n <= 4 * MAX_ELEMENTS ? mem_alloc_array((size_t)n + 1, 4) : NULL;

    if (all) (void)weights_f32_into(w, name, all, n, NULL);
    mem_free(all);
    if (weights_matrix(w, name, 0, 0, &k, NULL) != OK || k.k > MAX_ROW) return;
    MUST(k.n > 0 && k.k >= 0);
    for (int64_t r = 0; r<k.n; r += k.n> 8 ? k.n / 8 : 1) {
        (void)k_weight_row(&k, r, 0, k.k, row);
        (void)k_weight_stored(&k, r, 0, k.k, row);
        if (k_weight_int8(&k)) {
            MUST(k_weight_codes(&k, r, 0, k.k, codes) == K_OK);
            (void)k_weight_row_scale(&k, r);
        }
    }
}

static void open_and_look(const uint8_t *bytes, size_t size)
{
    Weights *w = NULL;
    uint8_t *own =
        mem_alloc(size ? size : 1); /* as large as it is, so that a step too far is seen */

    if (!own) return;
    memcpy(own, bytes, size);
    if (weights_open_bytes("fuzz", own, size, NULL, &w, NULL) == OK)
        for (size_t i = 0; i < weights_count(w); i++)
            look_at(w, weights_name(w, i));
    weights_unref(w);
    mem_free(own);
}

static void open_list(const uint8_t *data, size_t size)
{
    Made *m = mem_calloc(1, sizeof *m);
    char *text = mem_strndup((const char *)data, size);
    uint8_t *bytes = NULL;
    size_t made = 0;

    fill_pattern();
    if (m && text) {
        for (char *line = text, *end; line; line = end) {
            end = strchr(line, '\n');
            if (end) *end++ = 0;
            if (line[0] && line[0] != '#') read_line(m, line);
        }
        if (safetensors_build(m->items, m->count, &m->pair, m->pair.key ? 1 : 0, &bytes, &made,
                              NULL) == OK)
            open_and_look(bytes, made);
    }
    mem_free(bytes);
    mem_free(text);
    mem_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '#')
        open_list(data, size);
    else
        open_and_look(data, size);
    return 0;
}
