/* host.c - folders, backend, arena and the residency of components. */
#include "engine/residency/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"

enum { RESIDENT_MAX = 16 };

struct Host {
    HostOptions options;
    Events events;
    const KBackend *backend;
    KContext context;
    void *arena; /* owned */
    size_t arena_size;
    Map paths;       /* owned; "folder/name" -> path, so that callers may borrow */
    Map listings;    /* owned; folder, or a running number -> Listing */
    HostMenus menus; /* all borrowed */
    HostGuide guide;
    Component *resident[RESIDENT_MAX]; /* referenced; those that compute now */
    int residents;
    const Component *current;  /* borrowed; one of the residents */
    int64_t arena_asked, held; /* largest arena so far; what is kept beside it now */
    HostUse use;
};

typedef struct Listing {
    char **names; /* owned */
    size_t count;
} Listing;

static void listing_free(Listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        mem_free(l->names[i]);
    mem_free(l->names);
    mem_free(l);
}

/* ---- making ------------------------------------------------------------------------------------ */

static Status choose_backend(Host *h, Error *err)
{
    KIsa isa = kernels_cpu_best();
    const char *device = h->options.device ? h->options.device : "auto";
    if (strcmp(device, "auto") != 0 && strcmp(device, "cpu") != 0) {
        error_set(err, E_UNSUPPORTED, "device '%s' is not available in this build", device);
        error_fix(err, "use --device cpu");
        return E_UNSUPPORTED;
    }
    if (h->options.isa && strcmp(h->options.isa, "ref") == 0) {
        h->backend = kernels_ref();
        return OK;
    }
    if (h->options.isa && !k_isa_from_name(h->options.isa, &isa))
        return error_set(err, E_USAGE, "'%s' is no instruction-set path", h->options.isa);
    h->backend = kernels_cpu(isa);
    if (!h->backend)
        return error_set(err, E_UNSUPPORTED, "this processor has no %s", k_isa_name(isa));
    return OK;
}

static int count_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (int)n;
}

Status host_new(const HostOptions *options, Host **out, Error *err)
{
    Host *h = mem_calloc(1, sizeof *h);
    if (!h) return error_set(err, E_NOMEM, "no memory for the host");
    h->options = *options;
    h->context.threads = options->threads > 0 ? options->threads : count_cores();
    Status status = choose_backend(h, err);
    if (status != OK) {
        mem_free(h);
        return status;
    }
    if (!options->dummy) k_share_cores(h->context.threads);
    *out = h;
    return OK;
}

static void free_map_values(Map *m, void (*drop)(void *))
{
    for (size_t i = 0; i < m->count; i++)
        drop(m->entries[i].value);
    map_fini(m);
}

static void drop_listing(void *l)
{
    listing_free(l);
}

void host_free(Host *h)
{
    if (!h) return;
    for (int i = 0; i < h->residents; i++)
        ref_drop(h->resident[i]);
    free_map_values(&h->paths, mem_free);
    free_map_values(&h->listings, drop_listing);
    mem_free(h->arena);
    mem_free(h);
}

const HostOptions *host_options(const Host *h)
{
    return &h->options;
}

Events *host_events(Host *h)
{
    return &h->events;
}

const KBackend *host_backend(const Host *h)
{
    return h->backend;
}

KContext *host_context(Host *h)
{
    return &h->context;
}

bool host_dummy(const Host *h)
{
    return h->options.dummy;
}

bool host_exact(const Host *h)
{
    return h->options.precision == PRECISION_EXACT;
}

const HostMenus *host_menus(const Host *h)
{
    return &h->menus;
}

const struct Registry *host_registry(const Host *h)
{
    return h->menus.registry;
}

void host_set_menus(Host *h, const HostMenus *menus)
{
    h->menus = *menus;
}

void host_set_guide(Host *h, const HostGuide *guide)
{
    h->guide = *guide;
}

const char *host_family(const Host *h, const char *node)
{
    return h->guide.family && node ? h->guide.family(h->guide.user, node) : NULL;
}

/* ---- folders ------------------------------------------------------------------------------------- */

/* Folder names that ComfyUI reads beside each other. */
static const char *const folder_aliases[][2] = {
    { "diffusion_models", "unet" },
    { "text_encoders", "clip" },
};

static const char *alias_of(const char *folder)
{
    for (size_t i = 0; i < sizeof folder_aliases / sizeof *folder_aliases; i++)
        if (strcmp(folder, folder_aliases[i][0]) == 0) return folder_aliases[i][1];
    return NULL;
}

static const char *const model_suffixes[] = { ".safetensors", ".sft",        ".gguf", ".ckpt",
                                              ".pt",          ".pt2",        ".bin",  ".pth",
                                              ".pkl",         ".index.json", NULL };

/* Keeps a path for borrowers under a key; takes ownership of `path`. */
static Status keep_path(Host *h, const char *key, char *path, const char **out, Error *err)
{
    char *old = map_get(&h->paths, key);
    if (old && strcmp(old, path) == 0) {
        mem_free(path);
        *out = old;
        return OK;
    }
    if (old || !map_put(&h->paths, key, path)) {
        /* The same name now means another file: the old path stays for its borrowers. */
        Str other = { 0 };
        str_printf(&other, "%s\n%zu", key, h->paths.count);
        bool kept = !other.failed && map_put(&h->paths, other.text, path);
        str_fini(&other);
        if (!kept) {
            mem_free(path);
            return error_set(err, E_NOMEM, "no memory for a path");
        }
    }
    *out = path;
    return OK;
}

/* <models>/<folder>/<name> when it is a file, else NULL. */
static char *model_candidate(const char *models, const char *folder, const char *name)
{
    char *sub = file_join(models, folder), *path = sub ? file_join(sub, name) : NULL;
    mem_free(sub);
    if (path && file_exists(path) && !file_is_dir(path)) return path;
    mem_free(path);
    return NULL;
}

static char *search_models(const Host *h, const char *folder, const char *name)
{
    const char *folders[] = { folder, alias_of(folder) };
    for (const char *const *m = h->options.models; m && *m; m++)
        for (int i = 0; i < 2; i++) {
            char *path = folders[i] ? model_candidate(*m, folders[i], name) : NULL;
            if (path) return path;
        }
    return NULL;
}

static Status missing_model(Host *h, const char *folder, const char *name, Error *err)
{
    const char *const *names = NULL;
    size_t count = 0;
    error_set(err, E_MISSING, "%s '%s' is not in the models folder", folder, name);
    if (host_list_models(h, folder, &names, &count, NULL) == OK) {
        const char *near = str_nearest(name, names, count);
        if (near)
            error_fix(err, "the nearest file that exists is '%s'", near);
        else if (count == 0)
            error_fix(err, "no model file lies in '%s' below --models; put it there", folder);
        else
            error_fix(err, "put it into '%s' below a folder given by --models", folder);
    }
    return E_MISSING;
}

Status host_find_model(Host *h, const char *folder, const char *name, const char **path,
                       Error *err)
{
    if (!file_name_is_inside(name))
        return error_set(err, E_RANGE, "model name '%s' leaves its folder", name);
    char *found = search_models(h, folder, name);
    if (!found) return missing_model(h, folder, name, err);
    Str key = { 0 };
    str_printf(&key, "%s/%s", folder, name);
    Status status = key.failed ? error_set(err, E_NOMEM, "no memory for a path")
                               : keep_path(h, key.text, found, path, err);
    if (key.failed) mem_free(found);
    str_fini(&key);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends the names below models/folder that the listing does not hold yet. */
static Status listing_add(Listing *l, const char *models, const char *folder, Error *err)
{
    FileList found = { 0 };
    Status status = OK;
    char *sub = file_join(models, folder);
    if (!sub) return error_set(err, E_NOMEM, "no memory for a listing");
    TRY_DONE(file_list(sub, model_suffixes, &found, err));
    char **grown = mem_realloc(l->names, (l->count + found.count + 1) * sizeof *grown);
    if (!grown) {
        status = error_set(err, E_NOMEM, "no memory for a listing");
        goto done;
    }
    l->names = grown;
    for (size_t i = 0; i < found.count; i++) {
        bool known = false;
        for (size_t k = 0; k < l->count && !known; k++)
            known = strcmp(l->names[k], found.names[i]) == 0;
        if (known) continue;
        l->names[l->count++] = found.names[i];
        found.names[i] = NULL;
    }
done:
    file_list_fini(&found);
    mem_free(sub);
    return status;
}

static Status make_listing(Host *h, const char *folder, Listing **out, Error *err)
{
    const char *folders[] = { folder, alias_of(folder) };
    Listing *l = mem_calloc(1, sizeof *l);
    Status status = l ? OK : error_set(err, E_NOMEM, "no memory for a listing");
    for (const char *const *m = h->options.models; status == OK && m && *m; m++)
        for (int i = 0; i < 2 && status == OK; i++)
            if (folders[i]) status = listing_add(l, *m, folders[i], err);
    if (status == OK && l->count > 1)
        qsort(l->names, l->count, sizeof *l->names, compare_names);
    if (status == OK && !map_put(&h->listings, folder, l))
        status = error_set(err, E_NOMEM, "no memory for a listing");
    if (status != OK && l) listing_free(l);
    if (status == OK) *out = l;
    return status;
}

Status host_list_models(Host *h, const char *folder, const char *const **names, size_t *count,
                        Error *err)
{
    Listing *l = map_get(&h->listings, folder);
    if (!l) TRY(make_listing(h, folder, &l, err));
    *names = (const char *const *)l->names;
    *count = l->count;
    return OK;
}

Status host_keep_list(Host *h, FileList *list, const char *const **names, size_t *count,
                      Error *err)
{
    char key[32];
    Listing *l = mem_calloc(1, sizeof *l);
    snprintf(key, sizeof key, "#%zu", h->listings.count);
    if (!l || !map_put(&h->listings, key, l)) {
        mem_free(l);
        file_list_fini(list);
        return error_set(err, E_NOMEM, "no memory for a listing");
    }
    l->names = list->names;
    l->count = list->count;
    *names = (const char *const *)l->names;
    *count = l->count;
    return OK;
}

/* "[output]" at the end of a name selects the folder, as ComfyUI writes it. */
static const char *annotated_folder(const Host *h, Str *name)
{
    const struct {
        const char *mark, *folder;
    } marks[] = { { " [input]", h->options.input },  { " [output]", h->options.output },
                  { " [temp]", h->options.temp },    { "[input]", h->options.input },
                  { "[output]", h->options.output }, { "[temp]", h->options.temp } };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (!name->text || !str_ends_with(name->text, marks[i].mark)) continue;
        name->length -= strlen(marks[i].mark);
        name->text[name->length] = 0;
        return marks[i].folder;
    }
    return h->options.input;
}

Status host_find_input(Host *h, const char *name, const char **path, Error *err)
{
    Str plain = { 0 };
    str_add(&plain, name);
    if (plain.failed) return error_set(err, E_NOMEM, "no memory for a path");
    const char *folder = annotated_folder(h, &plain);
    Status status = OK;
    char *full = NULL;
    if (!plain.text || !plain.length || !file_name_is_inside(plain.text)) {
        status = error_set(err, E_RANGE, "file name '%s' is empty or leaves its folder", name);
        error_fix(err, "name a file below the input folder");
    } else if (!(full = file_join(folder, plain.text))) {
        status = error_set(err, E_NOMEM, "no memory for a path");
    } else if (!file_exists(full) || file_is_dir(full)) {
        status = error_set(err, E_MISSING, "no file '%s' in folder '%s'", plain.text, folder);
        error_fix(err, "put it there, or give its folder with --input");
        mem_free(full);
    } else {
        status = keep_path(h, name, full, path, err);
    }
    str_fini(&plain);
    return status;
}

/* ---- memory and residency -------------------------------------------------------------------------- */

void host_hold(Host *h, int64_t bytes)
{
    h->held += bytes;
    if (h->arena_asked + h->held > h->use.arena_peak)
        h->use.arena_peak = h->arena_asked + h->held;
}

int64_t host_held(const Host *h)
{
    return h->held;
}

Status host_arena(Host *h, size_t size, void **out, Error *err)
{
    if ((int64_t)size > h->arena_asked) h->arena_asked = (int64_t)size;
    host_hold(h, 0);
    if (h->options.dummy) {
        *out = NULL;
        return OK;
    }
    if (size > h->arena_size) {
        mem_free(h->arena);
        h->arena_size = 0;
        h->arena = mem_aligned(64, size);
        if (!h->arena)
            return error_set(err, E_NOMEM, "no memory for a program arena of %zu MiB",
                             size >> 20);
        h->arena_size = size;
    }
    *out = h->arena;
    return OK;
}

static bool is_resident(const Host *h, const Component *c)
{
    for (int i = 0; i < h->residents; i++)
        if (h->resident[i] == c) return true;
    return false;
}

/* Sends the pages of all that are resident away, under every policy but the hybrid one. */
static void leave_all(Host *h)
{
    bool release = h->options.residency != RESIDENCY_HYBRID && !h->options.dummy;

    for (int i = 0; i < h->residents; i++) {
        Component *c = h->resident[i];
        if (release && c->release) c->release(c);
        ref_drop(c);
    }
    h->residents = 0;
    h->current = NULL;
}

Status host_join(Host *h, Component *c, Error *err)
{
    int64_t sum = 0;

    if (is_resident(h, c)) {
        h->current = c;
        return OK;
    }
    if (h->residents == RESIDENT_MAX)
        return error_set(err, E_LIMIT, "%d components at one time are too many", RESIDENT_MAX);
    h->resident[h->residents++] = ref_take(c);
    h->current = c;
    for (int i = 0; i < h->residents; i++)
        sum += h->resident[i]->bytes;
    if (sum > h->use.weights_peak) h->use.weights_peak = sum;
    events_emit(&h->events, &(Event){ .kind = EV_COMPONENT,
                                      .text = c->name,
                                      .path = c->file,
                                      .detail = "RAM",
                                      .bytes = c->bytes,
                                      .object = c });
    return OK;
}

Status host_enter(Host *h, Component *c, Error *err)
{
    if (!is_resident(h, c)) leave_all(h);
    return host_join(h, c, err);
}

const Component *host_current(const Host *h)
{
    return h->current;
}

const Component *host_resident(const Host *h, int i)
{
    return i < h->residents ? h->resident[i] : NULL;
}

HostUse host_use(const Host *h)
{
    return h->use;
}
