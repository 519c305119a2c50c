/* cache.h - results of nodes, kept between runs of one process under the signature of their inputs.
 *
 * A key is a digest of the class, the token from outside, the id where the class asks for it, and the
 * inputs in the order of their names: literals by value (1 and 1.0 are equal), links by the key of their
 * origin and the slot. Ids of nodes and titles are no part of it.
 */
#ifndef WEFT_GRAPH_CACHE_H
#define WEFT_GRAPH_CACHE_H

#include "engine/base/ref.h"
#include "engine/base/sha256.h"
#include "engine/graph/graph.h"

typedef struct CacheKey {
    uint8_t digest[32];
    bool never; /* equal to nothing: part of it cannot be known */
} CacheKey;

/* What one node gave: a list of values per output, and its UI text. Shared by reference. */
typedef struct NodeResult {
    Ref ref;
    ValueList *slots; /* owned */
    int count;
    char *ui; /* owned; JSON object, NULL = none */
} NodeResult;

/* Slots are zeroed; the caller fills them. */
Status result_new(int slots, NodeResult **out, Error *err);

typedef enum CachePolicy {
    CACHE_NONE,    /* nothing is kept between runs */
    CACHE_CLASSIC, /* what the next prompt does not name is dropped before it runs */
    CACHE_LRU      /* the `limit` results used last are kept */
} CachePolicy;

typedef struct Cache Cache;

Status cache_new(CachePolicy policy, size_t limit, Cache **out, Error *err);
void cache_free(Cache *c);
CachePolicy cache_policy(const Cache *c);

/* Reference is borrowed; NULL when absent. */
NodeResult *cache_get(Cache *c, const CacheKey *key);
/* Takes a reference of its own. Full memory is no error: the result is then not kept. */
void cache_put(Cache *c, const CacheKey *key, NodeResult *result);
/* Starts a prompt: the classic policy drops what none of its keys names. */
Status cache_start(Cache *c, const CacheKey *keys, int count, Error *err);
size_t cache_count(const Cache *c);

/* Keys of all nodes of a bound and checked graph; keys has g->count places. Linear, no recursion. */
Status cache_keys(const Graph *g, CacheKey *keys, Error *err);

/* For each node the first valid one of equal key (itself when there is none): they share one result. */
Status cache_same(const CacheKey *keys, const bool *valid, int count, int *same, Error *err);

#endif
