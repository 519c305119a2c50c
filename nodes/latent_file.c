/* latent_file.c - .latent files. */
#include "nodes/latent_file.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/weights.h"
#include "engine/residency/outputs.h"
#include "nodes/saved.h"

static Status write_latent(const char *path, const Tensor *samples, const Metadata *meta,
                           Error *err)
{
    static const int64_t no_elements[] = { 0 };
    SafePair pairs[METADATA_MAX];
    const SafeItem items[] = {
        { "latent_tensor", K_F32, samples->ndim, samples->shape, samples->data },
        { "latent_format_version_0", K_F32, 1, no_elements, NULL },
    };
    for (size_t i = 0; i < meta->count; i++)
        pairs[i] = (SafePair){ meta->keys[i], meta->texts[i] };
    return safetensors_write(path, items, 2, pairs, meta->count, err);
}

Status latent_file_save(NodeCall *call, const Latent *latent, const char *prefix,
                        const Metadata *meta)
{
    Host *host = call->host;
    OutputName name = { 0 };
    Status status = OK;
    char *file = NULL, *path = NULL;
    TRY(output_name_init(host_options(host)->output, prefix, latent->samples->shape[3],
                         latent->samples->shape[2], !host_dummy(host), &name, call->err));
    file = output_file_name(&name, 0, name.counter, "latent");
    path = file ? file_join(name.folder, file) : NULL;
    if (!path)
        status = error_set(call->err, E_NOMEM, "no memory for a file name");
    else if (!host_dummy(host))
        status = write_latent(path, latent->samples, meta, call->err);
    if (status == OK) saved_report(call, "latents", path, file, name.subfolder, "output");
    mem_free(path);
    mem_free(file);
    output_name_fini(&name);
    return status;
}

static Status read_samples(const Weights *w, bool dummy, Tensor **out, Error *err)
{
    int64_t shape[K_MAX_DIMS];
    int ndim = weights_shape(w, "latent_tensor", shape);
    if (ndim < 3 || ndim > 4) {
        error_set(err, E_FORMAT, "the file holds no 'latent_tensor' of 3 or 4 dimensions");
        error_fix(err, "name a file that SaveLatent wrote");
        return E_FORMAT;
    }
    if (ndim == 3) {
        memmove(shape + 1, shape, 3 * sizeof *shape);
        shape[0] = 1;
    }
    TRY(tensor_zeros(K_F32, 4, shape, out, err));
    if (dummy) return OK;
    Status status =
        weights_f32_into(w, "latent_tensor", tensor_f32(*out), tensor_count(*out), err);
    float scale = weights_has(w, "latent_format_version_0") ? 1.0f : (float)(1.0 / 0.18215);
    for (int64_t i = 0; status == OK && i < tensor_count(*out); i++)
        tensor_f32(*out)[i] *= scale;
    if (status != OK) {
        tensor_unref(*out);
        *out = NULL;
    }
    return status;
}

Status latent_file_load(Host *host, const char *name, Latent **out, Error *err)
{
    const char *path = NULL;
    Weights *w = NULL;
    Tensor *samples = NULL;
    TRY(host_find_input(host, name, &path, err));
    TRY(weights_open(path, NULL, &w, err));
    Status status = read_samples(w, host_dummy(host), &samples, err);
    weights_unref(w);
    if (status != OK) {
        error_at_file(err, path, -1);
        return status;
    }
    return latent_new(samples, out, err);
}

Status latent_file_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err)
{
    static const char *const suffixes[] = { ".latent", NULL };
    *count = 0;
    return host ? input_list(host, suffixes, names, count, err) : OK;
}
