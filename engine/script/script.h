/* script.h - Lua scripts as schedulers, samplers, guidance, step caches and nodes.
 *
 * A Script is the checked descriptor of one file. What it computes runs in a state of its own (vm.h) per
 * use. ScriptValues are its parameters, complete and range-checked.
 */
#ifndef WEFT_SCRIPT_SCRIPT_H
#define WEFT_SCRIPT_SCRIPT_H

#include "engine/base/arena.h"
#include "engine/graph/node.h"
#include "engine/sampling/guidance.h"
#include "engine/sampling/registry.h"
#include "engine/sampling/step_cache.h"
#include "engine/script/vm.h"

typedef enum ScriptKind {
    SCRIPT_SCHEDULER,
    SCRIPT_SAMPLER,
    SCRIPT_GUIDANCE,
    SCRIPT_CACHE,
    SCRIPT_NODE,
    SCRIPT_KINDS
} ScriptKind;

/* Functions a descriptor may hold, as bits. */
enum { SCRIPT_RUN = 1, SCRIPT_COMBINE = 2, SCRIPT_PRE = 4, SCRIPT_POST = 8, SCRIPT_DECIDE = 16 };

enum { SCRIPT_FIELD = 16, SCRIPT_ROWS_MAX = 64, SCRIPT_TEXT_MAX = 1 << 20 };

typedef struct Script {
    Ref ref;
    Arena *arena; /* owned; holds all texts and rows */
    ScriptKind kind;
    const char *name, *file; /* "cosine", path (or lua/... when built in) */
    const char *text;
    size_t size;
    unsigned functions;
    bool
        needs_uncond; /* guidance: `uncond = true`, the negative is evaluated even at scale 1 */
    ScriptLimits limits;
    int lead, params; /* rows of def.inputs: the kind's own, then the script's */
    NodeDef def;      /* class Lua.<name>; def.user is this script; def.run is set by the set */
    SamplerDef sampler;
} Script;

/* Reads and checks one file's text. Errors: E_FORMAT with rule E208, file and line; E_NOMEM. */
Status script_load(const char *file, const char *text, size_t size, const ScriptLimits *limits,
                   Script **out, Error *err);
const char *script_kind_name(ScriptKind kind);

/* Parameters of one use; holds a reference on its script. */
typedef struct ScriptValues {
    Ref ref;
    const Script *script; /* one reference owned */
    int count;
    Value items[]; /* owned, one per parameter */
} ScriptValues;

Status script_values_default(const Script *s, ScriptValues **out, Error *err);
/* From the filled in-struct of a node call. */
Status script_values_from(const Script *s, const void *in, ScriptValues **out, Error *err);
/* One parameter from text, range-checked. Errors: E_MISSING, E_RANGE. */
Status script_values_set(ScriptValues *v, const char *name, const char *text, Error *err);

/* ---- the kinds ------------------------------------------------------------------------------------------ */

/* steps + 1 levels that fall strictly and end in 0, Tensor [steps + 1] F32. */
Status script_schedule(const ScriptValues *v, const ModelSampling *m, int64_t steps,
                       double denoise, Tensor **out, Error *err);
Status script_sampler_new(const ScriptValues *v, Sampler **out, Error *err);
/* The hooks of a guidance script in the order in which a model takes them; at most 4. node (may be NULL)
 * names the node in faults. */
Status script_guidance_hooks(const ScriptValues *v, const char *node, GuidanceHook *hooks[4],
                             int *count, Error *err);
/* The step cache that a cache script decides for; node (may be NULL) names the node in faults and notes. */
Status script_cache_new(const ScriptValues *v, const char *node, StepCache **out, Error *err);
/* run of a node script: call->def->user is the script. */
Status script_node_call(NodeCall *call);

/* ---- many scripts ------------------------------------------------------------------------------------------ */

/* What runs a class in the node table; the kinds that touch a MODEL are filled in by nodes/. */
typedef struct ScriptRunners {
    Status (*run[SCRIPT_KINDS])(NodeCall *call); /* by ScriptKind */
} ScriptRunners;

/* The built-in scripts and those of the folders (NULL-ended list, or NULL), read once. */
typedef struct ScriptSet ScriptSet;
Status script_set_load(const char *const *folders, const ScriptLimits *limits,
                       const ScriptRunners *runners, ScriptSet **out, Error *err);
void script_set_free(ScriptSet *set);
/* Whether a file of the folders was added, changed or removed since. */
bool script_set_stale(const ScriptSet *set);
const Script *script_set_find(const ScriptSet *set, const char *name); /* NULL when unknown */
const Script *script_set_at(const ScriptSet *set, size_t i);           /* NULL past the end */
void script_set_extend(const ScriptSet *set, NodeTable *table);        /* table->extra */
/* Names lua:<name> with their default parameters; menus: built-ins, then scripts, NULL-ended. */
const Registry *script_set_registry(const ScriptSet *set);
const char *const *script_set_samplers(const ScriptSet *set);
const char *const *script_set_schedulers(const ScriptSet *set);

/* ---- looking at one script ------------------------------------------------------------------------------------ */

/* Runs a script on toy inputs: what `weft lua check` does after loading. A node script with inputs of
 * opaque types cannot be run that way: *ran is false. */
Status script_dry_run(const Script *s, bool *ran, Error *err);
/* Points of a scheduler's or guidance script's curve: n pairs (x, y) from mem_alloc. The x of a scheduler is the step,
 * of guidance the model time, walked over `steps` steps of a plain schedule at scale `cfg`. */
Status script_curve(const ScriptValues *v, const ModelSampling *m, int64_t steps, double cfg,
                    double **points, int *n, Error *err);

/* Seconds that a sampler, guidance or cache script takes of each step over latents of a shape, the start of its run
 * included, the model's time left out. Errors: E_UNSUPPORTED for other kinds. */
Status script_cost(const ScriptValues *v, const ModelSampling *m, const int64_t shape[4],
                   int64_t steps, double *seconds, Error *err);

#endif
