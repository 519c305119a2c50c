/* kv.h - keys and values of reference pictures, computed once per run (FLUX.2 klein KV).
 *
 * The references' rows see only each other and are modulated for timestep 0, so what a layer keeps of them
 * depends on the references (and guidance and pooled text) alone: not on noise, prompt, step or side. One pass
 * over the references fills the store; every call reads it.
 * Source: Black Forest Labs' FLUX.2 klein KV; diffusers' Flux2KleinKVPipeline.
 */
#ifndef WEFT_MODELS_KV_H
#define WEFT_MODELS_KV_H

#include "engine/models/model.h"

/* Memory that grows to what is asked for, counted with the host; NULL in dummy runs. */
typedef struct Room {
    void *memory; /* owned */
    size_t size;
} Room;
Status room_make(Room *r, Host *h, size_t size, Error *err);
void room_fini(Room *r, Host *h);

enum { KV_ENTRIES = 4 };

/* What was kept, and what it was kept of. */
typedef struct KvEntry {
    Room room;
    uint64_t used; /* clock of the last use; 0 = free */
    const Tensor *references[MODEL_MAX_REFS];
    int count;
    RefMethod method;
    PosSize target; /* where the layout reads it (uxo), else 0 */
    bool guided;
    double guidance;
    const Tensor *pooled;
    void *places[2 * MODEL_MAX_SKIPS]; /* by block: double, then single */
} KvEntry;

/* Of one run. Zero-initialise. */
typedef struct KvStore {
    KvEntry entries[KV_ENTRIES];
    uint64_t clock;
} KvStore;

/* Makes f, the call for a picture under cond, read kept keys and values, computing them when they are new.
 * f->kv_memory lives until the next call. Errors: E_NOMEM, E_CANCELLED. */
Status kv_use(KvStore *s, const Model *m, Host *h, const CondEntry *cond, ForwardCall *f,
              Error *err);
void kv_fini(KvStore *s, Host *h);

#endif
