/* patch.c - the set of patches on a MODEL. */
#include "engine/models/patch.h"

#include <string.h>

#include "engine/base/mem.h"

static const bool slots[PATCH_KIND_COUNT] = {
#define PATCH_ROW(kind, slot) [kind] = slot,
    PATCH_MAP(PATCH_ROW)
#undef PATCH_ROW
};

bool patch_kind_is_slot(PatchKind kind)
{
    return slots[kind];
}

static void patch_fini(Patch *p)
{
    ref_drop(p->object);
    mem_free((char *)(uintptr_t)p->text);
}

static Status patch_copy(const Patch *p, Patch *out, Error *err)
{
    char *text = mem_strdup(p->text ? p->text : "");
    if (!text) return error_set(err, E_NOMEM, "out of memory");
    *out = *p;
    out->text = text;
    ref_take(p->object);
    return OK;
}

/* Puts *p, taken over, at index `at` of a list. */
static Status insert(Patch **items, int *count, int at, Patch *p, Error *err)
{
    Patch *more = mem_realloc(*items, (size_t)(*count + 1) * sizeof **items);
    if (!more) {
        patch_fini(p);
        return error_set(err, E_NOMEM, "out of memory");
    }
    memmove(more + at + 1, more + at, (size_t)(*count - at) * sizeof *more);
    more[at] = *p;
    *items = more;
    ++*count;
    return OK;
}

static int find_slot(const PatchSet *set, PatchKind kind)
{
    for (int i = 0; i < set->count; i++)
        if (set->items[i].kind == kind) return i;
    return -1;
}

Status patch_set_add(PatchSet *set, const Patch *patch, Error *err)
{
    Patch copy = { 0 };
    int at = 0;

    TRY(patch_copy(patch, &copy, err));
    int old = patch_kind_is_slot(patch->kind) ? find_slot(set, patch->kind) : -1;
    if (old >= 0) {
        Patch gone = set->items[old];
        set->items[old] = copy;
        return insert(&set->lost, &set->lost_count, set->lost_count, &gone, err);
    }
    while (at < set->count && set->items[at].kind <= patch->kind)
        at++;
    return insert(&set->items, &set->count, at, &copy, err);
}

static Status copy_list(const Patch *from, int n, Patch **items, int *count, Error *err)
{
    for (int i = 0; i < n; i++) {
        Patch p = { 0 };
        TRY(patch_copy(&from[i], &p, err));
        TRY(insert(items, count, *count, &p, err));
    }
    return OK;
}

Status patch_set_copy(const PatchSet *set, PatchSet *out, Error *err)
{
    PatchSet copy = { 0 };
    Status s = copy_list(set->items, set->count, &copy.items, &copy.count, err);
    if (s == OK) s = copy_list(set->lost, set->lost_count, &copy.lost, &copy.lost_count, err);
    if (s != OK) {
        patch_set_fini(&copy);
        return s;
    }
    *out = copy;
    return OK;
}

void patch_set_fini(PatchSet *set)
{
    for (int i = 0; i < set->count; i++)
        patch_fini(&set->items[i]);
    for (int i = 0; i < set->lost_count; i++)
        patch_fini(&set->lost[i]);
    mem_free(set->items);
    mem_free(set->lost);
    *set = (PatchSet){ 0 };
}

const Patch *patch_set_find(const PatchSet *set, PatchKind kind, int i)
{
    for (int k = 0; k < set->count; k++)
        if (set->items[k].kind == kind && i-- == 0) return &set->items[k];
    return NULL;
}
