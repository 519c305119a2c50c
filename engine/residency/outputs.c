/* outputs.c - names of written files by ComfyUI's rules. */
#include "engine/residency/outputs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"

typedef struct Variable {
    const char *name;
    int64_t value;
    int digits;
} Variable;

/* Appends prefix with its %variables% replaced; an unknown one stays as it is. */
static void expand(Str *out, const char *prefix, const Variable *variables, size_t n)
{
    for (const char *p = prefix; *p;) {
        size_t i = 0;
        while (i < n && strncmp(p, variables[i].name, strlen(variables[i].name)) != 0)
            i++;
        if (i == n) {
            str_add_char(out, *p++);
            continue;
        }
        str_printf(out, "%0*lld", variables[i].digits, (long long)variables[i].value);
        p += strlen(variables[i].name);
    }
}

static void expand_prefix(Str *out, const char *prefix, int64_t width, int64_t height)
{
    time_t now = time(NULL);
    struct tm t = { 0 };
    localtime_r(&now, &t);
    const Variable variables[] = {
        { "%width%", width, 1 },           { "%height%", height, 1 },
        { "%year%", t.tm_year + 1900, 1 }, { "%month%", t.tm_mon + 1, 2 },
        { "%day%", t.tm_mday, 2 },         { "%hour%", t.tm_hour, 2 },
        { "%minute%", t.tm_min, 2 },       { "%second%", t.tm_sec, 2 },
    };
    expand(out, prefix, variables, sizeof variables / sizeof *variables);
}

/* The number that follows "<base>_" in an existing file's name; 0 when there is none. */
static int64_t counter_of(const char *file, const char *base)
{
    size_t n = strlen(base);
    char *end = NULL;
    if (strncasecmp(file, base, n) != 0 || file[n] != '_') return 0;
    errno = 0;
    long long v = strtoll(file + n + 1, &end, 10);
    bool whole = end != file + n + 1 && (*end == '_' || *end == 0);
    return whole && errno == 0 && v > 0 && v < LLONG_MAX ? v : 0;
}

static int64_t next_counter(const char *folder, const char *base)
{
    int64_t largest = 0;
    DIR *dir = opendir(folder);
    if (!dir) return 1;
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        int64_t v = counter_of(e->d_name, base);
        if (v > largest) largest = v;
    }
    closedir(dir);
    return largest + 1;
}

static Status fill(const char *root, const char *prefix, bool make, OutputName *n, Error *err)
{
    const char *slash = strrchr(prefix, '/');
    n->subfolder = mem_strndup(prefix, slash ? (size_t)(slash - prefix) : 0);
    n->base = mem_strdup(slash ? slash + 1 : prefix);
    if (!n->subfolder || !n->base) return error_set(err, E_NOMEM, "no memory for a file name");
    if (*n->subfolder && !file_name_is_inside(n->subfolder)) {
        error_set(err, E_RANGE, "filename_prefix '%s' leaves the output folder", prefix);
        error_fix(err, "use a relative path without '..'");
        return E_RANGE;
    }
    n->folder = *n->subfolder ? file_join(root, n->subfolder) : mem_strdup(root);
    if (!n->folder) return error_set(err, E_NOMEM, "no memory for a file name");
    if (make) TRY(file_make_dirs(n->folder, err));
    n->counter = next_counter(n->folder, n->base);
    return OK;
}

Status output_name_init(const char *root, const char *prefix, int64_t width, int64_t height,
                        bool make, OutputName *out, Error *err)
{
    Str expanded = { 0 };
    OutputName n = { 0 };
    expand_prefix(&expanded, prefix, width, height);
    if (!expanded.text) str_add(&expanded, "");
    Status status = expanded.failed
                        ? error_set(err, E_NOMEM, "no memory for a file name")
                        : fill(root, expanded.text ? expanded.text : "", make, &n, err);
    str_fini(&expanded);
    if (status != OK) {
        output_name_fini(&n);
        return status;
    }
    *out = n;
    return OK;
}

void output_name_fini(OutputName *n)
{
    mem_free(n->folder);
    mem_free(n->subfolder);
    mem_free(n->base);
    memset(n, 0, sizeof *n);
}

char *output_file_name(const OutputName *n, int64_t batch_index, int64_t counter,
                       const char *extension)
{
    Str s = { 0 };
    const Variable batch = { "%batch_num%", batch_index, 1 };
    expand(&s, n->base, &batch, 1);
    str_printf(&s, "_%05lld_.%s", (long long)counter, extension);
    return str_take(&s);
}
