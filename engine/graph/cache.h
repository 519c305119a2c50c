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
    CACHE_LRU,     /* the `limit` results used last are kept */
    CACHE_BYTES    /* the results used last are kept, up to `limit` bytes of values */
} CachePolicy;

/* Bytes that a value holds in memory; 0 for what lies in files. */
typedef int64_t (*CacheSizeFn)(const Value *v);

typedef struct Cache Cache;

Status cache_new(CachePolicy policy, size_t limit, Cache **out, Error *err);
void cache_free(Cache *c);
/* Needed by CACHE_BYTES: without it values weigh nothing. */
void cache_set_sizes(Cache *c, CacheSizeFn size_of);
int64_t cache_bytes(const Cache *c); /* of all that is kept, under CACHE_BYTES */
CachePolicy cache_policy(const Cache *c);

/* Reference is borrowed; NULL when absent. */
NodeResult *cache_get(Cache *c, const CacheKey *key);
/* Takes a reference of its own. Full memory is no error: the result is then not kept. */
void cache_put(Cache *c, const CacheKey *key, NodeResult *result);
/* The same for a node that came by expansion; owner tells the node of the file it stands for. */
void cache_put_owned(Cache *c, const CacheKey *key, uint64_t owner, NodeResult *result);
/* Id and class of a node of the file as the owner of what it expands to; never 0. */
uint64_t cache_owner(const GraphNode *n);
/* Starts a prompt: the classic policy drops what none of its keys names and what none of its nodes owns. */
Status cache_start(Cache *c, const Graph *g, const CacheKey *keys, Error *err);
/* Ends a prompt that went well: the classic policy drops what the nodes that expanded own and did not name
 * this time. keys are those of g with its expansions. */
Status cache_settle(Cache *c, const Graph *g, const CacheKey *keys, Error *err);
size_t cache_count(const Cache *c);

/* Keys of all nodes of a bound and checked graph; keys has g->count places. Linear, no recursion. */
Status cache_keys(const Graph *g, CacheKey *keys, Error *err);
/* Those of the nodes from `first` on; the others have theirs. */
Status cache_keys_from(const Graph *g, int first, CacheKey *keys, Error *err);

/* Nodes of equal key share one result: finds the first of them. Zero-initialise. */
typedef struct KeyIndex {
    int *slots; /* owned; node + 1 */
    size_t slot_count, count;
} KeyIndex;

/* *first is the node that was added first under this key; the node itself when there was none, or when its
 * key is equal to nothing. keys is the array of all nodes. */
Status key_index_add(KeyIndex *x, const CacheKey *keys, int node, int *first, Error *err);
void key_index_fini(KeyIndex *x);

/* For each node the first valid one of equal key (itself when there is none): they share one result. */
Status cache_same(const CacheKey *keys, const bool *valid, int count, int *same, Error *err);

#endif
