/* set.c - the scripts of a process: built in and from folders, their menus and their node classes. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/script/embedded.h"
#include "engine/script/script.h"

struct ScriptSet {
    Script **items; /* owned references */
    size_t count;
    const char **folders;  /* owned list of owned names, NULL-ended */
    uint64_t signature;    /* of the folders' files when they were read */
    const NodeDef **defs;  /* owned list */
    const char **samplers; /* owned lists of borrowed names, NULL-ended */
    const char **schedulers;
    Registry registry;
};

static const char *const suffixes[] = { ".lua", NULL };

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static Status append(ScriptSet *set, Script *s, Error *err)
{
    Script **grown = mem_realloc(set->items, (set->count + 1) * sizeof *grown);
    if (!grown) return no_memory(err);
    set->items = grown;
    grown[set->count++] = s;
    return OK;
}

static size_t index_of(const ScriptSet *set, const char *name)
{
    size_t i = 0;
    while (i < set->count && strcmp(set->items[i]->name, name) != 0)
        i++;
    return i;
}

/* Two of one name within a folder. */
static Status named_twice(const Script *s, const Script *other, Error *err)
{
    error_set(err, E_FORMAT, "a script named '%s' is also in %s", s->name, other->file);
    error_fix(err, "rename one of them");
    error_at_file(err, s->file, -1);
    if (err) snprintf(err->rule, sizeof err->rule, "E208");
    return E_FORMAT;
}

/* Takes s over, also on failure. Scripts from `first_own` on come from the same folder. */
static Status add(ScriptSet *set, Script *s, const char *folder, Error *err)
{
    size_t at = index_of(set, s->name), n = folder ? strlen(folder) : 0;
    Status status = OK;

    if (at == set->count) {
        status = append(set, s, err);
    } else if (folder && strncmp(set->items[at]->file, folder, n) == 0 &&
               set->items[at]->file[n] == '/') {
        status = named_twice(s, set->items[at], err);
    } else {
        ref_drop(set->items[at]);
        set->items[at] = s;
    }
    if (status != OK) ref_drop(s);
    return status;
}

static Status add_embedded(ScriptSet *set, const ScriptLimits *limits, Error *err)
{
    for (size_t i = 0; i < script_embedded_count; i++) {
        const EmbeddedScript *e = &script_embedded[i];
        Script *s = NULL;
        TRY(script_load(e->file, e->text, e->size, limits, &s, err));
        TRY(add(set, s, NULL, err));
    }
    return OK;
}

static Status add_file(ScriptSet *set, const char *folder, const char *name,
                       const ScriptLimits *limits, Error *err)
{
    char *path = file_join(folder, name), *text = NULL;
    size_t size = 0;
    Script *s = NULL;
    Status status = path ? file_read(path, SCRIPT_TEXT_MAX, &text, &size, err) : no_memory(err);

    if (status == OK) status = script_load(path, text, size, limits, &s, err);
    if (status == OK) status = add(set, s, folder, err);
    mem_free(text);
    mem_free(path);
    return status;
}

static Status add_folder(ScriptSet *set, const char *folder, const ScriptLimits *limits,
                         Error *err)
{
    FileList files = { 0 };

    if (!file_is_dir(folder)) {
        error_set(err, E_USAGE, "--lua %s: there is no such folder", folder);
        return E_USAGE;
    }
    TRY(file_list(folder, suffixes, &files, err));
    Status status = OK;
    for (size_t i = 0; status == OK && i < files.count; i++)
        status = add_file(set, folder, files.names[i], limits, err);
    file_list_fini(&files);
    return status;
}

/* ---- noticing changes --------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
    return h;
}

static uint64_t folder_signature(const char *folder, uint64_t h)
{
    FileList files = { 0 };

    if (file_list(folder, suffixes, &files, NULL) != OK) return h;
    for (size_t i = 0; i < files.count; i++) {
        struct stat st = { 0 };
        char *path = file_join(folder, files.names[i]);
        if (path && stat(path, &st) == 0) {
            h = mix(h, path, strlen(path));
            h = mix(h, &st.st_mtim.tv_sec, sizeof st.st_mtim.tv_sec);
            h = mix(h, &st.st_mtim.tv_nsec, sizeof st.st_mtim.tv_nsec);
            h = mix(h, &st.st_size, sizeof st.st_size);
        }
        mem_free(path);
    }
    file_list_fini(&files);
    return h;
}

static uint64_t signature_of(const ScriptSet *set)
{
    uint64_t h = 14695981039346656037u;
    for (const char **f = set->folders; f && *f; f++)
        h = folder_signature(*f, h);
    return h;
}

bool script_set_stale(const ScriptSet *set)
{
    return set->folders && set->folders[0] && signature_of(set) != set->signature;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

static Status find_named(const ScriptSet *set, ScriptKind kind, const char *name,
                         const Script **out, Error *err)
{
    const Script *s = strncmp(name, "lua:", 4) == 0 ? script_set_find(set, name + 4) : NULL;

    if (s && s->kind == kind) {
        *out = s;
        return OK;
    }
    error_set(err, E_RANGE, "there is no %s script \"%s\"", script_kind_name(kind), name);
    error_fix(err, "`weft nodes` lists the scripts as Lua.<name>");
    return E_RANGE;
}

static Status named_sampler(void *user, const char *name, Sampler **out, Error *err)
{
    const Script *s = NULL;
    ScriptValues *v = NULL;
    TRY(find_named(user, SCRIPT_SAMPLER, name, &s, err));
    TRY(script_values_default(s, &v, err));
    Status status = script_sampler_new(v, out, err);
    ref_drop(v);
    return status;
}

static Status named_scheduler(void *user, const char *name, const ModelSampling *m,
                              int64_t steps, double denoise, Tensor **out, Error *err)
{
    const Script *s = NULL;
    ScriptValues *v = NULL;
    TRY(find_named(user, SCRIPT_SCHEDULER, name, &s, err));
    TRY(script_values_default(s, &v, err));
    Status status = script_schedule(v, m, steps, denoise, out, err);
    ref_drop(v);
    return status;
}

/* Built-in names, then lua:<name> of one kind. */
static Status make_menu(const ScriptSet *set, const char *const *builtin, ScriptKind kind,
                        const char ***out, Error *err)
{
    size_t n = 0;

    while (builtin[n])
        n++;
    const char **menu = mem_calloc(n + set->count + 1, sizeof *menu);
    if (!menu) return no_memory(err);
    memcpy(menu, builtin, n * sizeof *menu);
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i]->kind == kind) menu[n++] = set->items[i]->sampler.name;
    *out = menu;
    return OK;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static Status keep_folders(ScriptSet *set, const char *const *folders, Error *err)
{
    size_t n = 0;

    while (folders && folders[n])
        n++;
    set->folders = mem_calloc(n + 1, sizeof *set->folders);
    if (!set->folders) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(folders[i]);
        while (length > 1 && folders[i][length - 1] == '/')
            length--;
        set->folders[i] = mem_strndup(folders[i], length);
        if (!set->folders[i]) return no_memory(err);
    }
    return OK;
}

static Status make_classes(ScriptSet *set, const ScriptRunners *runners, Error *err)
{
    set->defs = mem_calloc(set->count + 1, sizeof *set->defs);
    if (!set->defs) return no_memory(err);
    for (size_t i = 0; i < set->count; i++) {
        Script *s = set->items[i];
        s->def.run = runners ? runners->run[s->kind] : NULL;
        set->defs[i] = &s->def;
    }
    return OK;
}

static Status fill(ScriptSet *set, const char *const *folders, const ScriptLimits *limits,
                   const ScriptRunners *runners, Error *err)
{
    TRY(keep_folders(set, folders, err));
    set->signature = signature_of(set);
    TRY(add_embedded(set, limits, err));
    for (const char **f = set->folders; *f; f++)
        TRY(add_folder(set, *f, limits, err));
    TRY(make_classes(set, runners, err));
    TRY(make_menu(set, sampler_names(), SCRIPT_SAMPLER, &set->samplers, err));
    return make_menu(set, scheduler_names(), SCRIPT_SCHEDULER, &set->schedulers, err);
}

Status script_set_load(const char *const *folders, const ScriptLimits *limits,
                       const ScriptRunners *runners, ScriptSet **out, Error *err)
{
    ScriptSet *set = mem_calloc(1, sizeof *set);
    if (!set) return no_memory(err);
    set->registry =
        (Registry){ .user = set, .sampler = named_sampler, .scheduler = named_scheduler };
    Status status = fill(set, folders, limits, runners, err);
    if (status == OK)
        *out = set;
    else
        script_set_free(set);
    return status;
}

void script_set_free(ScriptSet *set)
{
    if (!set) return;
    for (size_t i = 0; i < set->count; i++)
        ref_drop(set->items[i]);
    for (const char **f = set->folders; f && *f; f++)
        mem_free((char *)(uintptr_t)*f);
    mem_free(set->items);
    mem_free(set->folders);
    mem_free(set->defs);
    mem_free(set->samplers);
    mem_free(set->schedulers);
    mem_free(set);
}

const Script *script_set_find(const ScriptSet *set, const char *name)
{
    return script_set_at(set, index_of(set, name));
}

const Script *script_set_at(const ScriptSet *set, size_t i)
{
    return i < set->count ? set->items[i] : NULL;
}

void script_set_extend(const ScriptSet *set, NodeTable *table)
{
    table->extra = set->defs;
    table->n_extra = set->count;
}

const Registry *script_set_registry(const ScriptSet *set)
{
    return &set->registry;
}

const char *const *script_set_samplers(const ScriptSet *set)
{
    return set->samplers;
}

const char *const *script_set_schedulers(const ScriptSet *set)
{
    return set->schedulers;
}
