/* embeddings.c - learned embeddings that prompts name. */
#include "engine/text/embeddings.h"

#include <string.h>

#include "engine/base/events.h"
#include "engine/base/str.h"
#include "engine/formats/weights.h"

static const char *const endings[] = { "", ".safetensors", ".pt", ".bin" };
enum { ENDINGS = sizeof endings / sizeof *endings };

/* Whether file is `name` + ending, in the folder itself or in one inside it. */
static bool is_named(const char *file, const char *name, const char *ending)
{
    size_t n = strlen(file), k = strlen(name), e = strlen(ending);
    if (n < k + e || memcmp(file + n - e, ending, e) != 0 ||
        memcmp(file + n - e - k, name, k) != 0)
        return false;
    return n == k + e || file[n - e - k - 1] == '/';
}

/* The first listed file of that name; endings in order, then the order of the list. */
static const char *find_file(const char *const *files, size_t count, const char *name)
{
    for (int e = 0; e < ENDINGS; e++)
        for (size_t i = 0; i < count; i++)
            if (is_named(files[i], name, endings[e])) return files[i];
    return NULL;
}

static void note_width(Host *h, const char *file, int64_t got, int64_t width)
{
    Error text = { 0 };
    error_set(&text, E_SHAPE, "embedding %s is %lld wide, the encoder %lld; it is left out",
              file, (long long)got, (long long)width);
    events_emit(host_events(h), &(Event){ .kind = EV_NOTE, .text = text.message });
}

static Status read_rows(Host *h, const char *file, const char *path, const char *key,
                        int64_t width, Tensor **out, Error *err)
{
    Weights *w = NULL;
    Tensor *rows = NULL;
    Status status = OK;
    WeightsOptions options = { .dummy = host_dummy(h) };

    TRY(weights_open(path, &options, &w, err));
    const char *name = weights_has(w, key) ? key : weights_name(w, 0);
    int64_t count = name ? weights_elements(w, name) : 0,
            wide = name ? weights_dim(w, name, -1) : 0;
    if (count < 1 || wide != width) {
        note_width(h, file, wide, width);
        goto done;
    }
    TRY_DONE(tensor_new(K_F32, 2, (int64_t[]){ count / width, width }, &rows, err));
    TRY_DONE(weights_f32_into(w, name, tensor_f32(rows), count, err));
    *out = rows;
    rows = NULL;

done:
    tensor_unref(rows);
    weights_unref(w);
    return status;
}

Status embedding_find(Host *h, const char *name, const char *key, int64_t width, Tensor **out,
                      bool *misfit, Error *err)
{
    const char *const *files = NULL;
    const char *path = NULL;
    size_t count = 0;

    *out = NULL;
    *misfit = false;
    if (!file_name_is_inside(name)) return OK;
    TRY(host_list_models(h, "embeddings", &files, &count, err));
    const char *file = find_file(files, count, name);
    if (!file) return OK;
    TRY(host_find_model(h, "embeddings", file, &path, err));
    TRY(read_rows(h, file, path, key, width, out, err));
    *misfit = !*out;
    return OK;
}
