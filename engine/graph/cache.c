/* cache.c - results of nodes, kept under the signature of their inputs. */
#include "engine/graph/cache.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

typedef struct Entry {
    CacheKey key;
    NodeResult *result; /* one reference owned */
    uint64_t used;
    int64_t bytes;
    uint64_t owner; /* of what came by expansion; 0 = a node of the file */
} Entry;

/* Open addressing; a power of two, at most half full; result NULL = free. */
struct Cache {
    CachePolicy policy;
    size_t limit, count, slot_count;
    Entry *slots; /* owned */
    uint64_t clock;
    int64_t bytes;
    CacheSizeFn size_of; /* NULL = everything is 0 */
};

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- results ----------------------------------------------------------------------------- */

static void result_destroy(void *object)
{
    NodeResult *r = object;

    for (int i = 0; i < r->count; i++)
        value_list_fini(&r->slots[i]);
    mem_free(r->slots);
    mem_free(r->ui);
    mem_free(r);
}

Status result_new(int slots, NodeResult **out, Error *err)
{
    NodeResult *r = mem_calloc(1, sizeof *r);

    if (r) r->slots = mem_calloc((size_t)slots + 1, sizeof *r->slots);
    if (!r || !r->slots) {
        mem_free(r);
        return no_memory(err);
    }
    ref_init(&r->ref, result_destroy);
    r->count = slots;
    *out = r;
    return OK;
}

/* ---- the table --------------------------------------------------------------------------- */

Status cache_new(CachePolicy policy, size_t limit, Cache **out, Error *err)
{
    Cache *c = mem_calloc(1, sizeof *c);

    if (!c) return no_memory(err);
    c->policy = policy;
    c->limit = limit;
    *out = c;
    return OK;
}

void cache_free(Cache *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->slot_count; i++)
        ref_drop(c->slots[i].result);
    mem_free(c->slots);
    mem_free(c);
}

void cache_set_sizes(Cache *c, CacheSizeFn size_of)
{
    c->size_of = size_of;
}

int64_t cache_bytes(const Cache *c)
{
    return c->bytes;
}

/* An entry weighs at least what its own records take. */
static int64_t result_bytes(const Cache *c, const NodeResult *r)
{
    int64_t bytes = (int64_t)sizeof(Entry) + (int64_t)sizeof *r;

    if (r->ui) bytes += (int64_t)strlen(r->ui);
    for (int i = 0; i < r->count; i++)
        for (size_t k = 0; k < r->slots[i].count; k++)
            bytes +=
                (int64_t)sizeof(Value) + (c->size_of ? c->size_of(&r->slots[i].items[k]) : 0);
    return bytes;
}

CachePolicy cache_policy(const Cache *c)
{
    return c->policy;
}

size_t cache_count(const Cache *c)
{
    return c->count;
}

static size_t home(const CacheKey *key, size_t slots)
{
    uint64_t h;

    memcpy(&h, key->digest, sizeof h);
    return (size_t)h & (slots - 1);
}

/* The entry of a key, or the free one where it would go. */
static Entry *find(Entry *slots, size_t count, const CacheKey *key)
{
    size_t i = home(key, count);

    while (slots[i].result && memcmp(slots[i].key.digest, key->digest, sizeof key->digest) != 0)
        i = (i + 1) & (count - 1);
    return &slots[i];
}

NodeResult *cache_get(Cache *c, const CacheKey *key)
{
    Entry *e;

    if (key->never || !c->slot_count) return NULL;
    e = find(c->slots, c->slot_count, key);
    if (e->result) e->used = ++c->clock;
    return e->result;
}

/* Moves what `keep` tells into a table of that size. */
static bool rebuild(Cache *c, size_t slots, bool (*keep)(const Entry *, const void *),
                    const void *user)
{
    Entry *fresh = mem_calloc(slots, sizeof *fresh);

    if (!fresh) return false;
    c->count = 0;
    for (size_t i = 0; i < c->slot_count; i++) {
        if (!c->slots[i].result) continue;
        if (keep && !keep(&c->slots[i], user)) {
            c->bytes -= c->slots[i].bytes;
            ref_drop(c->slots[i].result);
            continue;
        }
        *find(fresh, slots, &c->slots[i].key) = c->slots[i];
        c->count++;
    }
    mem_free(c->slots);
    c->slots = fresh;
    c->slot_count = slots;
    return true;
}

static bool is_recent(const Entry *e, const void *user)
{
    return e->used > *(const uint64_t *)user;
}

/* Drops the entry that was used longest ago; false when memory is short. */
static bool make_space(Cache *c)
{
    uint64_t oldest = UINT64_MAX;

    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i].result && c->slots[i].used < oldest) oldest = c->slots[i].used;
    return rebuild(c, c->slot_count, is_recent, &oldest);
}

/* Room for one result more; false when it cannot be kept. */
static bool make_room(Cache *c, const CacheKey *key, int64_t bytes)
{
    Entry *e = c->slot_count ? find(c->slots, c->slot_count, key) : NULL;
    int64_t limit = c->limit > INT64_MAX ? INT64_MAX : (int64_t)c->limit;

    if (e && e->result) {
        e->used = ++c->clock;
        bytes -= e->bytes;
    } else if (c->policy == CACHE_LRU && c->count >= c->limit && !make_space(c)) {
        return false;
    }
    if (c->policy != CACHE_BYTES) return true;
    if (bytes > limit) return false;
    while (c->bytes + bytes > limit && c->count > 0)
        if (!make_space(c)) return false;
    return true;
}

void cache_put(Cache *c, const CacheKey *key, NodeResult *result)
{
    cache_put_owned(c, key, 0, result);
}

void cache_put_owned(Cache *c, const CacheKey *key, uint64_t owner, NodeResult *result)
{
    Entry *e;

    int64_t bytes = c->policy == CACHE_BYTES ? result_bytes(c, result) : 0;

    if (key->never || c->policy == CACHE_NONE || (c->policy == CACHE_LRU && c->limit == 0) ||
        !make_room(c, key, bytes))
        return;
    if (2 * (c->count + 1) > c->slot_count &&
        !rebuild(c, c->slot_count ? 2 * c->slot_count : 64, NULL, NULL))
        return;
    e = find(c->slots, c->slot_count, key);
    if (!e->result) c->count++;
    ref_take(result);
    ref_drop(e->result);
    c->bytes += bytes - e->bytes;
    *e = (Entry){ *key, result, ++c->clock, bytes, owner };
}

uint64_t cache_owner(const GraphNode *n)
{
    uint8_t digest[32];
    uint64_t owner;
    Sha256 h;

    sha256_init(&h);
    sha256_add(&h, n->id, strlen(n->id) + 1);
    if (n->class_type) sha256_add(&h, n->class_type, strlen(n->class_type));
    sha256_end(&h, digest);
    memcpy(&owner, digest, sizeof owner);
    return owner ? owner : 1;
}

/* What a prompt names: its keys and its owners, both sorted. */
typedef struct Named {
    CacheKey *keys;   /* owned */
    uint64_t *owners; /* owned */
    size_t count, owner_count;
} Named;

static int compare_keys(const void *a, const void *b)
{
    return memcmp(((const CacheKey *)a)->digest, ((const CacheKey *)b)->digest, 32);
}

static int compare_owners(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool is_named(const Entry *e, const Named *named)
{
    return bsearch(&e->key, named->keys, named->count, sizeof *named->keys, compare_keys) !=
           NULL;
}

static bool has_owner(const Entry *e, const Named *named)
{
    return e->owner && bsearch(&e->owner, named->owners, named->owner_count,
                               sizeof *named->owners, compare_owners);
}

static bool is_wanted(const Entry *e, const void *user)
{
    return is_named(e, user) || has_owner(e, user);
}

/* Not one that an expanded node made before and did not name again. */
static bool is_not_stale(const Entry *e, const void *user)
{
    return is_named(e, user) || !has_owner(e, user);
}

static bool take_keys(Named *named, const CacheKey *keys, size_t count)
{
    named->keys = mem_alloc_array(count + 1, sizeof *named->keys);
    named->owners = mem_alloc_array(count + 1, sizeof *named->owners);
    if (!named->keys || !named->owners) return false;
    if (count) memcpy(named->keys, keys, count * sizeof *keys);
    named->count = count;
    return true;
}

/* Keeps what `keep` tells of the entries. */
static Status sweep(Cache *c, Named *named, bool (*keep)(const Entry *, const void *),
                    Error *err)
{
    qsort(named->keys, named->count, sizeof *named->keys, compare_keys);
    qsort(named->owners, named->owner_count, sizeof *named->owners, compare_owners);
    return rebuild(c, c->slot_count, keep, named) ? OK : no_memory(err);
}

Status cache_start(Cache *c, const Graph *g, const CacheKey *keys, Error *err)
{
    Named named = { 0 };
    Status status = E_NOMEM;

    if (c->policy != CACHE_CLASSIC || !c->count) return OK;
    if (take_keys(&named, keys, (size_t)g->count)) {
        for (int i = 0; i < g->count; i++)
            named.owners[named.owner_count++] = cache_owner(&g->nodes[i]);
        status = sweep(c, &named, is_wanted, err);
    }
    mem_free(named.keys);
    mem_free(named.owners);
    return status == OK ? OK : no_memory(err);
}

Status cache_settle(Cache *c, const Graph *g, const CacheKey *keys, Error *err)
{
    Named named = { 0 };
    Status status = E_NOMEM;

    if (c->policy != CACHE_CLASSIC || !c->count) return OK;
    if (take_keys(&named, keys, (size_t)g->count)) {
        for (int i = 0; i < g->count; i++)
            if (g->nodes[i].display)
                named.owners[named.owner_count++] =
                    cache_owner(&g->nodes[g->nodes[i].display - 1]);
        status = sweep(c, &named, is_not_stale, err);
    }
    mem_free(named.keys);
    mem_free(named.owners);
    return status == OK ? OK : no_memory(err);
}

/* ---- keys -------------------------------------------------------------------------------- */

typedef struct Keys {
    const Graph *graph;
    CacheKey *keys;
    int first;                /* nodes before it have their keys */
    unsigned char *state;     /* owned; from `first` on, as all that follows */
    int *stack, *at;          /* owned: nodes, and the input of each to look at next */
    const GraphInput **order; /* owned: inputs of one node by name */
    Str text;                 /* owned */
} Keys;

enum { UNSEEN, OPEN, CLOSED };

static void add_text(Sha256 *h, char tag, const char *text, size_t n)
{
    uint64_t length = n;

    sha256_add(h, &tag, 1);
    sha256_add(h, &length, sizeof length);
    sha256_add(h, text, n);
}

static void add_digits(Sha256 *h, const char *digits)
{
    add_text(h, 'n', digits, strlen(digits));
}

/* Whole numbers of any kind are equal: 1, 1.0 and true. */
static void add_float(Sha256 *h, double f)
{
    char digits[400];

    if (isfinite(f) && f == trunc(f)) {
        snprintf(digits, sizeof digits, "%.0f", f == 0 ? 0.0 : f);
        add_digits(h, digits);
    } else {
        add_text(h, 'f', (const char *)&f, sizeof f);
    }
}

static void add_literal(Keys *k, Sha256 *h, const Literal *v)
{
    switch (v->kind) {
    case LIT_NULL:
        add_text(h, '0', "", 0);
        break;
    case LIT_BOOL:
        add_digits(h, v->b ? "1" : "0");
        break;
    case LIT_INT:
        add_text(h, 'n', v->text, v->length);
        break;
    case LIT_FLOAT:
        add_float(h, v->f);
        break;
    case LIT_TEXT:
        add_text(h, 's', v->text, v->length);
        break;
    default:
        str_clear(&k->text);
        json_write(&k->text, v->json);
        add_text(h, 'j', k->text.text ? k->text.text : "", k->text.length);
    }
}

static void add_input(Keys *k, Sha256 *h, const GraphInput *in, bool *never)
{
    add_text(h, 'i', in->name, strlen(in->name));
    if (!in->is_link) {
        add_literal(k, h, &in->value);
    } else if (in->origin < 0) {
        add_text(h, 'x', in->origin_id ? in->origin_id : "",
                 in->origin_id ? strlen(in->origin_id) : 0);
    } else {
        *never |= k->keys[in->origin].never;
        add_text(h, 'l', (const char *)k->keys[in->origin].digest, sizeof k->keys->digest);
        add_text(h, 'k', (const char *)&in->slot, sizeof in->slot);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const GraphInput *const *)a)->name, (*(const GraphInput *const *)b)->name);
}

static bool takes_id(const GraphNode *n)
{
    if (!n->def) return false;
    for (const Socket *s = n->def->inputs; s && s->name; s++)
        if (s->flags & SOCK_F_HIDDEN_ID) return true;
    return n->def->flags & NODE_F_NOT_IDEMPOTENT;
}

static void finish_key(Keys *k, int node)
{
    const GraphNode *n = &k->graph->nodes[node];
    CacheKey *key = &k->keys[node];
    Sha256 h;

    key->never |= n->never_cached;
    sha256_init(&h);
    add_text(&h, 'c', n->class_type ? n->class_type : "",
             n->class_type ? strlen(n->class_type) : 0);
    if (n->changed) add_text(&h, 't', n->changed, strlen(n->changed));
    if (takes_id(n)) add_text(&h, '#', n->id, strlen(n->id));
    for (int i = 0; i < n->n_inputs; i++)
        k->order[i] = &n->inputs[i];
    qsort(k->order, (size_t)n->n_inputs, sizeof *k->order, compare_names);
    for (int i = 0; i < n->n_inputs; i++)
        add_input(k, &h, k->order[i], &key->never);
    sha256_end(&h, key->digest);
}

/* Looks at the next input of the node on top; goes to its origin first when that has no key yet. */
static void key_step(Keys *k, int *depth)
{
    int node = k->stack[*depth - 1];
    const GraphNode *n = &k->graph->nodes[node];

    while (k->at[*depth - 1] < n->n_inputs) {
        const GraphInput *in = &n->inputs[k->at[*depth - 1]++];
        int at = in->origin - k->first;
        if (!in->is_link || at < 0 || k->state[at] == CLOSED) continue;
        if (k->state[at] == OPEN) {
            k->keys[node].never = true; /* a cycle */
            continue;
        }
        k->state[at] = OPEN;
        k->stack[*depth] = in->origin;
        k->at[(*depth)++] = 0;
        return;
    }
    finish_key(k, node);
    k->state[node - k->first] = CLOSED;
    --*depth;
}

static int widest(const Graph *g, int first)
{
    int most = 0;

    for (int i = first; i < g->count; i++)
        if (g->nodes[i].n_inputs > most) most = g->nodes[i].n_inputs;
    return most;
}

Status cache_keys(const Graph *g, CacheKey *keys, Error *err)
{
    return cache_keys_from(g, 0, keys, err);
}

Status cache_keys_from(const Graph *g, int first, CacheKey *keys, Error *err)
{
    size_t n = (size_t)(g->count - first) + 1;
    Keys k = { .graph = g, .keys = keys, .first = first };
    Status status = OK;

    k.state = mem_calloc(n, sizeof *k.state);
    k.stack = mem_alloc_array(n, sizeof *k.stack);
    k.at = mem_alloc_array(n, sizeof *k.at);
    k.order = mem_alloc_array((size_t)widest(g, first) + 1, sizeof *k.order);
    if (!k.state || !k.stack || !k.at || !k.order) status = no_memory(err);
    if (status == OK) memset(keys + first, 0, (n - 1) * sizeof *keys);
    for (int i = first, depth = 0; status == OK && i < g->count; i++) {
        if (k.state[i - first] != UNSEEN) continue;
        k.state[i - first] = OPEN;
        k.stack[0] = i;
        k.at[0] = 0;
        for (depth = 1; depth > 0;)
            key_step(&k, &depth);
    }
    if (k.text.failed) status = no_memory(err);
    mem_free(k.state);
    mem_free(k.stack);
    mem_free(k.at);
    mem_free(k.order);
    str_fini(&k.text);
    return status;
}

/* ---- equal nodes ------------------------------------------------------------------------- */

static bool grow_index(KeyIndex *x, const CacheKey *keys)
{
    size_t n = x->slot_count ? 2 * x->slot_count : 64;
    int *slots = mem_calloc(n, sizeof *slots);

    if (!slots) return false;
    for (size_t i = 0; i < x->slot_count; i++) {
        if (!x->slots[i]) continue;
        size_t at = home(&keys[x->slots[i] - 1], n);
        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = x->slots[i];
    }
    mem_free(x->slots);
    x->slots = slots;
    x->slot_count = n;
    return true;
}

Status key_index_add(KeyIndex *x, const CacheKey *keys, int node, int *first, Error *err)
{
    const CacheKey *key = &keys[node];
    size_t at;

    *first = node;
    if (key->never) return OK;
    if (2 * (x->count + 1) > x->slot_count && !grow_index(x, keys)) return no_memory(err);
    at = home(key, x->slot_count);
    for (; x->slots[at]; at = (at + 1) & (x->slot_count - 1)) {
        if (memcmp(keys[x->slots[at] - 1].digest, key->digest, sizeof key->digest) != 0)
            continue;
        *first = x->slots[at] - 1;
        return OK;
    }
    x->slots[at] = node + 1;
    x->count++;
    return OK;
}

void key_index_fini(KeyIndex *x)
{
    mem_free(x->slots);
    *x = (KeyIndex){ 0 };
}

Status cache_same(const CacheKey *keys, const bool *valid, int count, int *same, Error *err)
{
    KeyIndex index = { 0 };
    Status status = OK;

    for (int i = 0; i < count && status == OK; i++) {
        same[i] = i;
        if (valid[i]) status = key_index_add(&index, keys, i, &same[i], err);
    }
    key_index_fini(&index);
    return status;
}
