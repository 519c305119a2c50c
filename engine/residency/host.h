/* host.h - what a run has at hand: folders, backend, precision, limits, events, loaded components.
 *
 * Nodes reach it through NodeCall.host. It knows no model: components are Refs with a name and a size.
 */
#ifndef WEFT_RESIDENCY_HOST_H
#define WEFT_RESIDENCY_HOST_H

#include "engine/base/events.h"
#include "engine/base/file.h"
#include "engine/base/ref.h"
#include "engine/base/status.h"
#include "kernels/kernels.h"

typedef enum Precision { PRECISION_FAST, PRECISION_EXACT } Precision;
typedef enum Residency { RESIDENCY_AUTO, RESIDENCY_SEQUENTIAL, RESIDENCY_HYBRID } Residency;

typedef struct HostOptions {
    const char *const *models; /* NULL-ended; ComfyUI models folders, searched in order */
    const char *input, *output, *temp; /* folders */
    Precision precision;
    Residency residency;
    int threads;                   /* 0 = one per core */
    const char *isa;               /* instruction-set path by name; NULL = best */
    const char *device;            /* "auto", "cpu", "cuda" */
    int64_t ram_limit, vram_limit; /* bytes; 0 = none */
    const char *cache_dir; /* folder of embedded prompts; NULL = none are kept on disk */
    int64_t prompt_limit;  /* bytes of them */
    bool dummy;            /* no weights' contents, no files written */
    bool metadata;         /* write workflow metadata into outputs */
} HostOptions;

typedef struct Host Host;
struct Registry; /* engine/sampling/registry.h; opaque here */

Status host_new(const HostOptions *options, Host **out, Error *err);
void host_free(Host *h);

const HostOptions *host_options(const Host *h);
Events *host_events(Host *h);
const KBackend *host_backend(const Host *h);
KContext *host_context(Host *h); /* threads; scratch is set per program run */
bool host_dummy(const Host *h);
bool host_exact(const Host *h);

/* Finds `name` below <models>/<folder> for every models folder (and ComfyUI's aliases: unet for
 * diffusion_models, clip for text_encoders). *path is borrowed until the host goes. Errors: E_MISSING
 * naming the nearest file that exists; E_RANGE for a name that leaves the folder. */
Status host_find_model(Host *h, const char *folder, const char *name, const char **path,
                       Error *err);
/* All names below the folder, sorted as ComfyUI lists them; borrowed. */
Status host_list_models(Host *h, const char *folder, const char *const **names, size_t *count,
                        Error *err);
/* Path of a file of the input, output or temp folder from a name with ComfyUI's annotation
 * ("a.png [output]"); refuses names that leave the folder. */
Status host_find_input(Host *h, const char *name, const char **path, Error *err);

/* Which family the loaders around a node tell, for model files that a dummy run does without. */
typedef struct HostGuide {
    const char *(*family)(void *user, const char *node); /* "flux1", "flux2"; NULL = not told */
    void *user;
} HostGuide;
void host_set_guide(Host *h, const HostGuide *guide); /* copied */
const char *host_family(const Host *h, const char *node);

/* Keeps a list of names for borrowers until the host goes; the list is taken over. */
Status host_keep_list(Host *h, FileList *list, const char *const **names, size_t *count,
                      Error *err);

/* Samplers and schedulers that are not built in (scripts), and the whole menus with them (NULL-ended;
 * NULL = built-ins alone). All borrowed; they must outlive the host's use. */
typedef struct HostMenus {
    const struct Registry *registry;
    const char *const *samplers, *const *schedulers;
} HostMenus;
const HostMenus *host_menus(const Host *h);
const struct Registry *host_registry(const Host *h); /* NULL = none */
void host_set_menus(Host *h, const HostMenus *menus);

/* Arena memory shared by all programs, grown to the largest that was asked for; 64-byte aligned. */
Status host_arena(Host *h, size_t size, void **out, Error *err);

/* Memory that a run keeps beside the arena for some time (negative: gives it back), for the figures of a plan. */
void host_hold(Host *h, int64_t bytes);
int64_t host_held(const Host *h); /* now */

/* Components. `enter` is called before a component computes: under the sequential policy it sends the
 * other components' mapped pages away first. `release` is called on the component to drop its pages. */
typedef struct Component {
    Ref ref;
    const char *name; /* "text encoder", "transformer", "VAE"; borrowed, static */
    const char *file; /* owned by the component */
    int64_t bytes;    /* of weights it touches */
    void (*release)(struct Component *c);
} Component;
Status host_enter(Host *h, Component *c, Error *err);
/* The same for a component that computes together with those that entered last: they stay. */
Status host_join(Host *h, Component *c, Error *err);
/* The one that entered or joined last, and the i-th of those in memory (NULL past the end); borrowed. */
const Component *host_current(const Host *h);
const Component *host_resident(const Host *h, int i);

/* What was used so far: exact bytes, also counted in dummy runs. */
typedef struct HostUse {
    int64_t weights_peak; /* largest sum of weight bytes in memory at one time */
    int64_t arena_peak;   /* largest program arena, with what is held beside it */
} HostUse;
HostUse host_use(const Host *h);

#endif
