/* picture_file.c - reading and writing picture files for the image nodes. */
#include "nodes/picture_file.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/formats/image.h"
#include "engine/imaging/compose.h"
#include "engine/imaging/mask.h"
#include "engine/residency/outputs.h"
#include "nodes/saved.h"

enum { EMPTY_MASK_SIDE = 64 };

/* ---- reading ------------------------------------------------------------------------------------ */

/* Size without samples, for dummy runs. */
static Status probe(const FileMap *map, Image *out, Error *err)
{
    ImageInfo info;
    TRY(image_probe(map->data, map->size, &info, err));
    /* The file, the unpacked lines and the samples, before the picture is made of them. */
    size_t samples = (size_t)info.width * (size_t)info.height * (size_t)info.channels;
    mem_foresee(map->size + 2 * samples);
    TRY(tensor_zeros(K_F32, 4, (int64_t[]){ 1, info.height, info.width, 3 }, &out->rgb, err));
    out->masked = info.channels == 2 || info.channels == 4;
    mem_foresee(map->size + samples);
    if (!out->masked) return OK;
    return tensor_zeros(K_F32, 3, (int64_t[]){ 1, info.height, info.width }, &out->alpha, err);
}

/* A picture beyond the limit of pixels is a bad file, not a run that grew too large. */
static Status as_bad_file(Status status, Error *err)
{
    if (status != E_LIMIT) return status;
    if (err) err->status = E_FORMAT;
    return E_FORMAT;
}

/* A dummy run goes on without the picture: one of an assumed size, with a note. */
static Status assume(Host *host, const char *name, Image *out, Error *err)
{
    enum { SIDE = 1024 };
    Error note = { 0 };

    error_clear(err);
    error_set(&note, E_MISSING, "picture %s is missing; %d x %d pixels are assumed", name, SIDE,
              SIDE);
    events_emit(host_events(host),
                &(Event){ .kind = EV_NOTE, .path = name, .text = note.message });
    return tensor_zeros(K_F32, 4, (int64_t[]){ 1, SIDE, SIDE, 3 }, &out->rgb, err);
}

static Status decode(Host *host, const char *name, Image *out, Error *err)
{
    const char *path = NULL;
    FileMap *map = NULL;
    memset(out, 0, sizeof *out);
    Status found = host_find_input(host, name, &path, err);
    if (found == E_MISSING && host_dummy(host)) return assume(host, name, out, err);
    TRY(found);
    TRY(file_map(path, &map, err));
    Status status =
        host_dummy(host) ? probe(map, out, err) : image_decode(map->data, map->size, out, err);
    if (status != OK) {
        error_at_file(err, path, -1);
        image_fini(out);
    }
    ref_drop(map);
    return as_bad_file(status, err);
}

Status picture_load(Host *host, const char *name, Tensor **image, Tensor **mask, Error *err)
{
    Image picture;
    TRY(decode(host, name, &picture, err));
    Status status =
        picture.masked && picture.alpha
            ? mask_invert(picture.alpha, mask, err)
            : tensor_zeros(K_F32, 3, (int64_t[]){ 1, EMPTY_MASK_SIDE, EMPTY_MASK_SIDE }, mask,
                           err);
    if (status == OK) *image = tensor_ref(picture.rgb);
    image_fini(&picture);
    return status;
}

Status picture_load_channel(Host *host, const char *name, int channel, Tensor **mask,
                            Error *err)
{
    Image picture;
    TRY(decode(host, name, &picture, err));
    const int64_t *s = picture.rgb->shape;
    Status status = channel < 3 ? mask_from_image(picture.rgb, channel, mask, err)
                    : picture.alpha
                        ? mask_invert(picture.alpha, mask, err)
                        : tensor_zeros(K_F32, 3, (int64_t[]){ s[0], s[1], s[2] }, mask, err);
    image_fini(&picture);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------ */

static Status write_png(const char *path, const Tensor *images, int64_t item,
                        const Metadata *meta, Error *err)
{
    PngText texts[METADATA_MAX];
    const int64_t *s = images->shape;
    int64_t samples = s[1] * s[2] * s[3];
    uint8_t *bytes = mem_alloc((size_t)samples);
    if (!bytes)
        return error_set(err, E_NOMEM, "no memory for a picture of %lldx%lld", (long long)s[2],
                         (long long)s[1]);
    for (size_t i = 0; i < meta->count; i++)
        texts[i] = (PngText){ meta->keys[i], meta->texts[i] };
    image_to_bytes(tensor_f32(images) + item * samples, bytes, samples);
    Status status =
        image_write_png(path, bytes, (int)s[2], (int)s[1], (int)s[3], texts, meta->count, err);
    mem_free(bytes);
    return status;
}

static Status save_item(NodeCall *call, const Tensor *images, int64_t item,
                        const OutputName *name, const PictureTarget *target,
                        const Metadata *meta)
{
    char *file = output_file_name(name, item, name->counter + item, "png");
    char *path = file ? file_join(name->folder, file) : NULL;
    Status status = path ? OK : error_set(call->err, E_NOMEM, "no memory for a file name");
    const int64_t *s = images->shape;
    if (host_dummy(call->host))
        mem_foresee(
            (size_t)(3 * s[1] * s[2] * s[3])); /* samples, filtered lines, packed ones */
    else if (status == OK)
        status = write_png(path, images, item, meta, call->err);
    if (status == OK)
        saved_report(call, target->key ? target->key : "images", path, file, name->subfolder,
                     target->type);
    mem_free(path);
    mem_free(file);
    return status;
}

Status picture_save(NodeCall *call, const Tensor *images, const PictureTarget *target,
                    const Metadata *meta)
{
    OutputName name = { 0 };
    TRY(output_name_init(target->folder, target->prefix, images->shape[2], images->shape[1],
                         !host_dummy(call->host), &name, call->err));
    Status status = OK;
    for (int64_t i = 0; i < images->shape[0] && status == OK; i++)
        status = save_item(call, images, i, &name, target, meta);
    output_name_fini(&name);
    return status;
}

/* ComfyUI appends five random letters per process; here they follow from the node, so that runs repeat. */
static void preview_prefix(const char *name, const char *id, char *out, size_t size)
{
    char letters[6] = { 0 };
    uint32_t hash = 2166136261u;
    for (const char *p = id; p && *p; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    for (int i = 0; i < 5; i++, hash /= 26)
        letters[i] = (char)('a' + hash % 26);
    snprintf(out, size, "%s_temp_%s", name, letters);
}

Status picture_preview(NodeCall *call, const Tensor *images, const char *name, const char *key,
                       const Metadata *meta)
{
    char prefix[64];
    preview_prefix(name, call->id, prefix, sizeof prefix);
    return picture_save(call, images,
                        &(PictureTarget){ host_options(call->host)->temp, prefix, "temp", key },
                        meta);
}
