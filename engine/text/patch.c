/* patch.c - the LoRAs on one network of a text encoder. */
#include "engine/text/patch.h"

#include "engine/base/mem.h"
#include "engine/base/ref.h"

enum { REST_BYTES = 1 << 30 }; /* CLIP-L stays merged between prompts, T5-XXL does not */

/* A LoRA that several sets share. */
typedef struct SharedLora {
    Ref ref;
    Lora *lora; /* owned */
} SharedLora;

typedef struct Item {
    SharedLora *shared; /* one reference owned */
    double strength;
} Item;

struct TextPatches {
    Ref ref;
    int count;
    Item items[];
};

static void shared_destroy(void *object)
{
    SharedLora *s = object;
    lora_free(s->lora);
    mem_free(s);
}

static void patches_destroy(void *object)
{
    TextPatches *p = object;
    for (int i = 0; i < p->count; i++)
        ref_drop(p->items[i].shared);
    mem_free(p);
}

static Status share(Lora *lora, SharedLora **out, Error *err)
{
    SharedLora *s = mem_calloc(1, sizeof *s);

    if (!s) {
        lora_free(lora);
        return error_set(err, E_NOMEM, "out of memory");
    }
    ref_init(&s->ref, shared_destroy);
    s->lora = lora;
    *out = s;
    return OK;
}

Status text_patches_add(const TextPatches *before, Lora *lora, double strength,
                        TextPatches **out, Error *err)
{
    int count = before ? before->count : 0;
    SharedLora *s = NULL;

    TRY(share(lora, &s, err));
    TextPatches *p = mem_calloc(1, sizeof *p + ((size_t)count + 1) * sizeof *p->items);
    if (!p) {
        ref_drop(s);
        return error_set(err, E_NOMEM, "out of memory");
    }
    ref_init(&p->ref, patches_destroy);
    for (; p->count < count; p->count++) {
        p->items[p->count] = before->items[p->count];
        ref_take(p->items[p->count].shared);
    }
    p->items[p->count++] = (Item){ s, strength };
    *out = p;
    return OK;
}

Status text_patches_apply(const TextPatches *p, const char *name, KWeight *w, Error *err)
{
    for (int i = 0; p && i < p->count; i++)
        TRY(lora_apply(p->items[i].shared->lora, name, p->items[i].strength, w, err));
    return OK;
}

Status text_patches_digest(const TextPatches *p, Sha256 *h, Error *err)
{
    uint8_t file[32];

    for (int i = 0; p && i < p->count; i++) {
        TRY(weights_identity(lora_file(p->items[i].shared->lora), file, err));
        sha256_add(h, file, sizeof file);
        sha256_add(h, &p->items[i].strength, sizeof p->items[i].strength);
    }
    return OK;
}

int64_t text_patches_held(const TextPatches *p)
{
    int64_t bytes = 0;

    for (int i = 0; p && i < p->count; i++)
        bytes += lora_held(p->items[i].shared->lora);
    return bytes;
}

void text_patches_rest(const TextPatches *p)
{
    if (text_patches_held(p) <= REST_BYTES) return;
    for (int i = 0; i < p->count; i++)
        lora_forget(p->items[i].shared->lora);
}
