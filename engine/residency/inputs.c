/* inputs.c - files of the input folder: lists for menus, content hashes for caches. */
#include "engine/residency/inputs.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/sha256.h"

/* Drops the names that lie in sub-folders. */
static void keep_top_level(FileList *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (strchr(l->names[i], '/'))
            mem_free(l->names[i]);
        else
            l->names[kept++] = l->names[i];
    }
    l->count = kept;
}

Status input_list(Host *h, const char *const *suffixes, const char *const **names,
                  size_t *count, Error *err)
{
    FileList found = { 0 };
    TRY(file_list(host_options(h)->input, suffixes, &found, err));
    keep_top_level(&found);
    return host_keep_list(h, &found, names, count, err);
}

static Status annotate(FileList *l, Error *err)
{
    static const char mark[] = " [output]";
    for (size_t i = 0; i < l->count; i++) {
        size_t n = strlen(l->names[i]);
        char *name = mem_realloc(l->names[i], n + sizeof mark);
        if (!name) return error_set(err, E_NOMEM, "no memory for a list of files");
        memcpy(name + n, mark, sizeof mark);
        l->names[i] = name;
    }
    return OK;
}

Status output_list(Host *h, const char *const *suffixes, const char *const **names,
                   size_t *count, Error *err)
{
    FileList found = { 0 };
    TRY(file_list(host_options(h)->output, suffixes, &found, err));
    keep_top_level(&found);
    Status status = annotate(&found, err);
    if (status != OK) {
        file_list_fini(&found);
        return status;
    }
    return host_keep_list(h, &found, names, count, err);
}

Status input_file_token(Host *h, const char *name, char token[65], Error *err)
{
    const char *path = NULL;
    FileMap *map = NULL;
    Sha256 hash;
    uint8_t digest[32];
    TRY(host_find_input(h, name, &path, err));
    TRY(file_map(path, &map, err));
    sha256_init(&hash);
    sha256_add(&hash, map->data, map->size);
    sha256_end(&hash, digest);
    sha256_hex(digest, token);
    ref_drop(map);
    return OK;
}
