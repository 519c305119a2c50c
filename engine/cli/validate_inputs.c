/* validate_inputs.c - what `weft validate` is given: files, folders, patterns, standard input. */
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/glob.h"
#include "engine/base/mem.h"
#include "engine/cli/validate.h"

static const char *const suffixes[] = { ".json", ".png",  ".webp", ".jpg",  ".jpeg", ".JSON",
                                        ".PNG",  ".WEBP", ".JPG",  ".JPEG", NULL };

static Status add(Inputs *in, const char *path, bool found, Error *err)
{
    if (in->count == in->capacity) {
        size_t capacity = in->capacity ? in->capacity * 2 : 64;
        InputFile *items = mem_realloc(in->items, capacity * sizeof *items);
        if (!items) return error_set(err, E_NOMEM, "out of memory");
        in->items = items;
        in->capacity = capacity;
    }
    in->items[in->count] = (InputFile){ mem_strdup(path), found };
    if (!in->items[in->count].path) return error_set(err, E_NOMEM, "out of memory");
    in->count++;
    return OK;
}

/* Below a folder whose name starts with a dot, or where packages are kept. */
static bool is_hidden(const char *name)
{
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (p[0] == '.' || strncmp(p, "node_modules/", 13) == 0) return true;
    return false;
}

/* Files below a folder that a pattern (NULL = all) matches, as folder/name. */
static Status add_folder(Inputs *in, const char *folder, const char *pattern, bool *any,
                         Error *err)
{
    FileList list = { 0 };
    Status status = OK;

    TRY(file_list(*folder ? folder : ".", suffixes, &list, err));
    for (size_t i = 0; i < list.count && status == OK; i++) {
        char *path = *folder ? file_join(folder, list.names[i]) : mem_strdup(list.names[i]);
        if (!path)
            status = error_set(err, E_NOMEM, "out of memory");
        else if (!is_hidden(list.names[i]) && (!pattern || glob_match(pattern, path))) {
            *any = true;
            status = add(in, path, true, err);
        }
        mem_free(path);
    }
    file_list_fini(&list);
    return status;
}

/* The pattern's folders before its first special character are walked. */
static Status add_pattern(Inputs *in, const char *pattern, Error *err)
{
    size_t n = strcspn(pattern, "*?[");
    char *folder, *whole;
    bool any = false;
    Status status;

    while (n > 0 && pattern[n - 1] != '/')
        n--;
    folder = mem_strndup(pattern, n > 1 ? n - 1 : n);
    whole = folder ? mem_strdup(pattern) : NULL;
    status = whole ? OK : error_set(err, E_NOMEM, "out of memory");
    /* A pattern of one part means the working folder alone, not any depth. */
    if (status == OK && !strchr(pattern, '/')) {
        mem_free(whole);
        whole = file_join(".", pattern);
        mem_free(folder);
        folder = mem_strdup(".");
        if (!whole || !folder) status = error_set(err, E_NOMEM, "out of memory");
    }
    if (status == OK) status = add_folder(in, folder, whole, &any, err);
    mem_free(folder);
    mem_free(whole);
    if (status != OK || any) return status;
    error_set(err, E_USAGE, "no workflow file matches '%s'", pattern);
    return E_USAGE;
}

static Status add_one(Inputs *in, const char *name, Error *err)
{
    bool any;

    if (strcmp(name, "-") == 0 || file_exists(name)) {
        if (!file_is_dir(name)) return add(in, name, false, err);
        return add_folder(in, name, NULL, &any, err);
    }
    return glob_is_pattern(name) ? add_pattern(in, name, err) : add(in, name, false, err);
}

Status inputs_collect(const CliFiles *files, Inputs *out, Error *err)
{
    Inputs in = { 0 };

    for (int i = 0; i < files->count; i++) {
        Status status = add_one(&in, files->items[i], err);
        if (status == OK) continue;
        inputs_free(&in);
        return status;
    }
    *out = in;
    return OK;
}

void inputs_free(Inputs *in)
{
    for (size_t i = 0; i < in->count; i++)
        mem_free(in->items[i].path);
    mem_free(in->items);
    *in = (Inputs){ 0 };
}
