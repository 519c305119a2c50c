/* store.c - embeddings of prompts on disk. */
#include "engine/text/store.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/base/str.h"

static const char magic[8] = "weftcnd";
static const char suffix[] = ".cond";
enum { LARGEST_SIDE = 1 << 24, DIGEST = 32 };

/* What a file starts with; then the values of states and of pooled, then a SHA-256 of all before it. */
typedef struct Head {
    char magic[8];
    uint8_t key[DIGEST];
    int64_t tokens, width, pooled; /* pooled = 0: there is none */
} Head;

bool text_store_on(const Host *h)
{
    return host_options(h)->cache_dir != NULL;
}

static char *folder_of(const Host *h)
{
    return file_join(host_options(h)->cache_dir, "prompts");
}

static char *path_of(const Host *h, const uint8_t key[DIGEST])
{
    char hex[65], *folder = folder_of(h), *path = NULL;
    Str name = { 0 };

    sha256_hex(key, hex);
    str_add(&name, hex);
    str_add(&name, suffix);
    if (folder && !name.failed) path = file_join(folder, name.text);
    str_fini(&name);
    mem_free(folder);
    return path;
}

static size_t value_bytes(const Head *head)
{
    return (size_t)(head->tokens * head->width + head->pooled) * sizeof(float);
}

static bool is_sound(const Head *head, const uint8_t key[DIGEST], size_t size)
{
    return memcmp(head->magic, magic, sizeof magic) == 0 &&
           memcmp(head->key, key, DIGEST) == 0 && head->tokens > 0 && head->width > 0 &&
           head->tokens < LARGEST_SIDE && head->width < LARGEST_SIDE && head->pooled >= 0 &&
           head->pooled < LARGEST_SIDE && size == sizeof *head + value_bytes(head) + DIGEST;
}

static bool is_whole(const uint8_t *data, size_t size)
{
    uint8_t digest[DIGEST];
    Sha256 h;

    sha256_init(&h);
    sha256_add(&h, data, size - DIGEST);
    sha256_end(&h, digest);
    return memcmp(digest, data + size - DIGEST, DIGEST) == 0;
}

/* Tensors of the sizes that the head says; values are zero when there are none. */
static bool unpack(const Head *head, const uint8_t *values, Tensor **states, Tensor **pooled)
{
    Tensor *s = NULL, *p = NULL;
    size_t count = (size_t)(head->tokens * head->width);

    if (tensor_zeros(K_F32, 3, (int64_t[]){ 1, head->tokens, head->width }, &s, NULL) != OK)
        return false;
    if (head->pooled &&
        tensor_zeros(K_F32, 2, (int64_t[]){ 1, head->pooled }, &p, NULL) != OK) {
        tensor_unref(s);
        return false;
    }
    if (values) {
        memcpy(s->data, values, count * sizeof(float));
        if (p) memcpy(p->data, values + count * sizeof(float), (size_t)head->pooled * 4);
    }
    *states = s;
    *pooled = p;
    return true;
}

bool text_store_get(Host *h, const uint8_t key[DIGEST], Tensor **states, Tensor **pooled)
{
    char *path = path_of(h, key);
    FileMap *map = NULL;
    Head head;
    bool good = path && file_map(path, &map, NULL) == OK && map->size > sizeof head + DIGEST;

    if (good) memcpy(&head, map->data, sizeof head);
    good = good && is_sound(&head, key, map->size) &&
           (host_dummy(h) || is_whole(map->data, map->size)) &&
           unpack(&head, host_dummy(h) ? NULL : map->data + sizeof head, states, pooled);
    if (good && !host_dummy(h)) file_touch(path);
    ref_drop(map);
    mem_free(path);
    return good;
}

static void pack(const uint8_t key[DIGEST], const Tensor *states, const Tensor *pooled,
                 Str *out)
{
    Head head = { .tokens = states->shape[1],
                  .width = states->shape[2],
                  .pooled = pooled ? tensor_count(pooled) : 0 };
    uint8_t digest[DIGEST];
    Sha256 h;

    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.key, key, DIGEST);
    str_add_n(out, (const char *)&head, sizeof head);
    str_add_n(out, states->data, (size_t)tensor_count(states) * sizeof(float));
    if (pooled) str_add_n(out, pooled->data, (size_t)head.pooled * sizeof(float));
    if (out->failed) return;
    sha256_init(&h);
    sha256_add(&h, out->text, out->length);
    sha256_end(&h, digest);
    str_add_n(out, (const char *)digest, DIGEST);
}

void text_store_put(Host *h, const uint8_t key[DIGEST], const Tensor *states,
                    const Tensor *pooled)
{
    char *folder = folder_of(h), *path = path_of(h, key);
    Str file = { 0 };

    if (folder && path && file_make_dirs(folder, NULL) == OK) {
        pack(key, states, pooled, &file);
        if (!file.failed && file_write(path, file.text, file.length, NULL) == OK)
            file_trim_folder(folder, suffix, host_options(h)->prompt_limit);
    }
    str_fini(&file);
    mem_free(folder);
    mem_free(path);
}
