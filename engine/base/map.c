/* map.c - string to pointer, in insertion order. */
#include "engine/base/map.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/mem.h"

enum { FIRST_CAPACITY = 8 };

/* FNV-1a, 64 bit (Fowler, Noll, Vo). */
static uint64_t hash_key(const char *key)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

/* The slot that holds key, or the empty one where it belongs. slot_count is a power of two, and
 * more than twice the entries, so an empty slot is always met. */
static size_t find_slot(const Map *m, const char *key)
{
    size_t mask = m->slot_count - 1;
    size_t at = (size_t)hash_key(key) & mask;

    while (m->slots[at] && strcmp(m->entries[m->slots[at] - 1].key, key) != 0)
        at = (at + 1) & mask;
    return at;
}

static MapEntry *find(const Map *m, const char *key)
{
    size_t at;

    if (m->count == 0) return NULL;
    at = find_slot(m, key);
    return m->slots[at] ? &m->entries[m->slots[at] - 1] : NULL;
}

/* Makes room for one entry more; entries and slots grow together or not at all. */
static bool reserve(Map *m)
{
    size_t capacity = m->capacity ? m->capacity * 2 : FIRST_CAPACITY;
    unsigned *slots, *old = m->slots;
    MapEntry *entries;

    if (m->count < m->capacity) return true;
    if (capacity > UINT_MAX / 4) return false;
    slots = mem_calloc(capacity * 4, sizeof *slots);
    entries = slots ? mem_realloc(m->entries, capacity * sizeof *entries) : NULL;
    if (!entries) {
        mem_free(slots);
        return false;
    }
    m->entries = entries;
    m->capacity = capacity;
    m->slots = slots;
    m->slot_count = capacity * 4;
    for (size_t i = 0; i < m->count; i++)
        m->slots[find_slot(m, entries[i].key)] = (unsigned)i + 1;
    mem_free(old);
    return true;
}

bool map_put(Map *m, const char *key, void *value)
{
    MapEntry *e = find(m, key);
    char *copy;

    if (e) {
        e->value = value;
        return true;
    }
    if (!reserve(m)) return false;
    copy = mem_strdup(key);
    if (!copy) return false;
    m->slots[find_slot(m, key)] = (unsigned)m->count + 1;
    m->entries[m->count++] = (MapEntry){ .key = copy, .value = value };
    return true;
}

void *map_get(const Map *m, const char *key)
{
    const MapEntry *e = find(m, key);

    return e ? e->value : NULL;
}

bool map_has(const Map *m, const char *key)
{
    return find(m, key) != NULL;
}

void map_cut(Map *m, size_t count)
{
    if (count >= m->count) return;
    for (size_t i = count; i < m->count; i++)
        mem_free(m->entries[i].key);
    m->count = count;
    memset(m->slots, 0, m->slot_count * sizeof *m->slots);
    for (size_t i = 0; i < m->count; i++)
        m->slots[find_slot(m, m->entries[i].key)] = (unsigned)i + 1;
}

void map_fini(Map *m)
{
    for (size_t i = 0; i < m->count; i++)
        mem_free(m->entries[i].key);
    mem_free(m->entries);
    mem_free(m->slots);
    *m = (Map){ 0 };
}
