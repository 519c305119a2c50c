/* validate_settings.c - weft.toml: which rules hold where. docs/ci.md is its reference. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/glob.h"
#include "engine/base/mem.h"
#include "engine/base/toml.h"
#include "engine/cli/validate.h"

enum { LARGEST = 1 << 20 };

/* ---- reading one ------------------------------------------------------------------------- */

typedef struct Reading {
    Settings *s;
    const Toml *toml;
    const TomlEntry *at;
    Error *err;
} Reading;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

static Status wrong(const Reading *r, const char *what, const char *fix)
{
    const char *key = r->at->path[r->at->depth - 1];

    error_set(r->err, E_FORMAT, "%s: %s", key, what);
    error_fix(r->err, "%s", fix);
    if (r->err) {
        r->err->line = r->at->line;
        r->err->column = r->at->column;
    }
    return E_FORMAT;
}

static Status check_rules(const Reading *r, const char *const *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char what[128];
        if (rule_matches_any(rules[i])) continue;
        snprintf(what, sizeof what, "no rule starts with '%.40s'", rules[i]);
        return wrong(r, what, "`weft explain` lists the rules");
    }
    return OK;
}

static Status read_list(Reading *r, TextList *out)
{
    if (r->at->kind != TOML_LIST)
        return wrong(r, "a list of texts is expected", "write [\"...\"]");
    *out = (TextList){ r->at->items, r->at->n_items };
    return OK;
}

static Status read_rules(Reading *r, TextList *out)
{
    TRY(read_list(r, out));
    return check_rules(r, out->items, out->count);
}

static char *below_folder(const Settings *s, const char *path)
{
    return path[0] == '/' ? arena_strdup(s->arena, path)
                          : arena_printf(s->arena, "%s/%s", s->folder, path);
}

static Status read_folders(Reading *r, TextList *out)
{
    const char **items;

    TRY(read_list(r, out));
    items = arena_array(r->s->arena, out->count + 1, sizeof *items);
    if (!items) return no_memory(r->err);
    for (size_t i = 0; i < out->count; i++)
        if (!(items[i] = below_folder(r->s, out->items[i]))) return no_memory(r->err);
    out->items = items;
    return out->count < ARGS_LIST_MAX ? OK : wrong(r, "too many folders", "name up to 63");
}

static int severity_of(const char *name, bool off)
{
    static const char *const names[] = { "error", "warning", "note" };

    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], name) == 0) return i;
    return off && strcmp(name, "off") == 0 ? -1 : -2;
}

static Status read_select(Reading *r)
{
    return read_rules(r, &r->s->select);
}

static Status read_ignore(Reading *r)
{
    return read_rules(r, &r->s->ignore);
}

static Status read_exclude(Reading *r)
{
    return read_list(r, &r->s->exclude);
}

static Status read_classes(Reading *r)
{
    return read_list(r, &r->s->known_classes);
}

static Status read_threshold(Reading *r)
{
    r->s->threshold = r->at->kind == TOML_TEXT ? severity_of(r->at->text, false) : -2;
    return r->s->threshold >= 0
               ? OK
               : wrong(r, "no severity", "write \"error\", \"warning\" or \"note\"");
}

static Status read_models(Reading *r)
{
    return read_folders(r, &r->s->models);
}

static Status read_lua(Reading *r)
{
    return read_folders(r, &r->s->lua);
}

static Status read_input(Reading *r)
{
    if (r->at->kind != TOML_TEXT) return wrong(r, "a text is expected", "write \"folder\"");
    r->s->input = below_folder(r->s, r->at->text);
    return r->s->input ? OK : no_memory(r->err);
}

static Status read_severity(Reading *r)
{
    const char *rule = r->at->path[2];
    int severity = r->at->kind == TOML_TEXT ? severity_of(r->at->text, true) : -2;

    TRY(check_rules(r, &rule, 1));
    if (severity == -2)
        return wrong(r, "no severity", "write \"error\", \"warning\", \"note\" or \"off\"");
    r->s->severities[r->s->n_severities++] = (SeverityRule){ rule, severity };
    return OK;
}

static Status read_path_rule(Reading *r)
{
    TextList rules = { 0 };

    TRY(read_rules(r, &rules));
    r->s->path_rules[r->s->n_path_rules++] =
        (PathRule){ r->at->path[2], rules.items, rules.count };
    return OK;
}

/* clang-format off */
static const struct SettingRow {
    const char *table, *key; /* key NULL: any key below the table */
    Status (*read)(Reading *r);
} rows[] = {
    { "lint", "select", read_select },
    { "lint", "ignore", read_ignore },
    { "lint", "exclude", read_exclude },
    { "lint", "known-classes", read_classes },
    { "lint", "severity-threshold", read_threshold },
    { "lint", "severity", read_severity },
    { "lint", "per-file-ignores", read_path_rule },
    { "paths", "models", read_models },
    { "paths", "input", read_input },
    { "paths", "lua", read_lua },
};
/* clang-format on */

static bool is_table(const struct SettingRow *row)
{
    return row->read == read_severity || row->read == read_path_rule;
}

static Status unknown_key(const Reading *r)
{
    const char *names[sizeof rows / sizeof *rows], *near;
    const char *key = r->at->path[r->at->depth > 1];
    char fix[128] = "docs/ci.md lists the keys";
    size_t n = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        names[n++] = rows[i].key;
    near = str_nearest(key, names, n);
    if (near) snprintf(fix, sizeof fix, "did you mean %s?", near);
    return wrong(r, "unknown key", fix);
}

static Status read_entry(Reading *r)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int depth = is_table(&rows[i]) ? 3 : 2;
        if (r->at->depth != depth || strcmp(r->at->path[0], rows[i].table) != 0 ||
            strcmp(r->at->path[1], rows[i].key) != 0)
            continue;
        return rows[i].read(r);
    }
    return unknown_key(r);
}

static Status read_all(Settings *s, const char *text, size_t length, Error *err)
{
    Toml toml;
    Reading r = { .s = s, .toml = &toml, .err = err };

    TRY(toml_parse(text, length, s->arena, &toml, err));
    s->path_rules = arena_array(s->arena, toml.count + 1, sizeof *s->path_rules);
    s->severities = arena_array(s->arena, toml.count + 1, sizeof *s->severities);
    if (!s->path_rules || !s->severities) return no_memory(err);
    for (size_t i = 0; i < toml.count; i++) {
        r.at = &toml.entries[i];
        TRY(read_entry(&r));
    }
    return OK;
}

/* Settings without any; folder is absolute. */
static Settings *new_settings(const char *folder)
{
    Settings *s = mem_calloc(1, sizeof *s);

    if (s) s->arena = arena_new();
    if (s && s->arena) s->folder = arena_strdup(s->arena, folder);
    if (s && s->arena && s->folder) {
        s->threshold = -1;
        return s;
    }
    settings_free(s);
    return NULL;
}

static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash) slash[slash == path] = 0;
}

Status settings_read(const char *path, Settings **out, Error *err)
{
    char folder[PATH_MAX], *text = NULL;
    size_t length = 0;
    Settings *s = NULL;
    Status status;

    TRY(file_read(path, LARGEST, &text, &length, err));
    if (!realpath(path, folder)) {
        status = error_set(err, E_IO, "cannot resolve the path");
        goto done;
    }
    cut_name(folder);
    s = new_settings(folder);
    if (!s || !(s->path = arena_strdup(s->arena, path))) {
        status = no_memory(err);
        goto done;
    }
    status = read_all(s, text, length, err);
    if (status != OK) goto done;
    *out = s;
    s = NULL;
done:
    if (status != OK) error_at_file(err, path, -1);
    settings_free(s);
    mem_free(text);
    return status;
}

void settings_free(Settings *s)
{
    if (!s) return;
    if (s->used) session_fini(&s->session);
    arena_free(s->arena);
    mem_free(s);
}

/* ---- which hold for a file --------------------------------------------------------------- */

/* Absolute folder of a file, without a file system entry of its own for "-". */
static bool folder_of(const char *file, char out[PATH_MAX])
{
    char copy[PATH_MAX];

    if (strcmp(file, "-") == 0 || strlen(file) >= sizeof copy)
        return realpath(".", out) != NULL;
    strcpy(copy, file);
    if (strchr(copy, '/'))
        cut_name(copy);
    else
        strcpy(copy, ".");
    return realpath(copy, out) != NULL;
}

static Settings *find_read(const SettingsStore *store, const char *folder)
{
    for (Settings *s = store->all; s; s = s->next)
        if (strcmp(s->folder, folder) == 0) return s;
    return NULL;
}

static void keep(SettingsStore *store, Settings *s)
{
    s->next = store->all;
    store->all = s;
}

/* The settings of a folder or of the nearest above; *found is empty when there are none. */
static Status search_up(SettingsStore *store, char folder[PATH_MAX], Settings **out, Error *err)
{
    for (;; cut_name(folder)) {
        Settings *known = find_read(store, folder);
        char *path;
        bool exists;
        if (known) {
            *out = known;
            return OK;
        }
        path = file_join(folder, "weft.toml");
        exists = path && file_exists(path);
        if (exists) {
            Status status = settings_read(path, out, err);
            mem_free(path);
            if (status == OK) keep(store, *out);
            return status;
        }
        mem_free(path);
        if (strcmp(folder, "/") == 0) return OK;
    }
}

Status settings_for(SettingsStore *store, const char *file, Settings **out, Error *err)
{
    char folder[PATH_MAX] = "/";

    *out = NULL;
    if (store->given && store->all) {
        *out = store->all;
        return OK;
    }
    if (store->given) {
        TRY(settings_read(store->given, out, err));
        keep(store, *out);
        return OK;
    }
    if (folder_of(file, folder)) TRY(search_up(store, folder, out, err));
    if (*out) return OK;
    *out = new_settings("/");
    if (!*out) return no_memory(err);
    keep(store, *out); /* found by every later search, at the root */
    return OK;
}

void settings_store_free(SettingsStore *store)
{
    for (Settings *s = store->all, *next; s; s = next) {
        next = s->next;
        settings_free(s);
    }
    store->all = NULL;
}

char *settings_below(const Settings *s, const char *file)
{
    char full[PATH_MAX];
    size_t n = strlen(s->folder);

    if (!s->path || !realpath(file, full) || strncmp(full, s->folder, n) != 0)
        return mem_strdup(file);
    if (n > 1 && full[n] != '/') return mem_strdup(file);
    return mem_strdup(full + n + (n > 1));
}

/* ---- what they say ----------------------------------------------------------------------- */

bool settings_listed(const char *list, const char *rule)
{
    for (const char *p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        size_t n;
        p += strspn(p, " ");
        n = strcspn(p, ", ");
        if (n > 0 && strncmp(rule, p, n) == 0) return true;
    }
    return false;
}

static bool starts_one(const char *const *rules, size_t n, const char *rule)
{
    for (size_t i = 0; i < n; i++)
        if (str_starts_with(rule, rules[i])) return true;
    return false;
}

static bool matches_one(TextList globs, const char *text)
{
    for (size_t i = 0; i < globs.count; i++)
        if (glob_match(globs.items[i], text)) return true;
    return false;
}

bool settings_excludes(const Settings *s, const char *file)
{
    char *below = s->exclude.count ? settings_below(s, file) : NULL;
    bool hit = below && matches_one(s->exclude, below);

    mem_free(below);
    return hit;
}

/* Errors stay on when only warnings and notes are selected: a broken file is never clean. */
static bool is_selected(const Settings *s, const CliArgs *args, const char *rule)
{
    bool given = args->select || s->select.count, errors = false, hit;

    if (!given) return true;
    if (args->select) {
        hit = settings_listed(args->select, rule);
        for (const char *p = args->select; p && *p;
             p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
            errors |= p[strspn(p, " ")] == 'E';
    } else {
        hit = starts_one(s->select.items, s->select.count, rule);
        for (size_t i = 0; i < s->select.count; i++)
            errors |= s->select.items[i][0] == 'E';
    }
    return hit || (rule[0] == 'E' && !errors);
}

static bool is_ignored(const Settings *s, const CliArgs *args, const char *file,
                       const char *rule)
{
    if (args->ignore && settings_listed(args->ignore, rule)) return true;
    if (starts_one(s->ignore.items, s->ignore.count, rule)) return true;
    for (size_t i = 0; i < s->n_path_rules; i++)
        if (glob_match(s->path_rules[i].glob, file) &&
            starts_one(s->path_rules[i].rules, s->path_rules[i].n_rules, rule))
            return true;
    return false;
}

bool settings_tell(const Settings *s, const CliArgs *args, const char *file, const Error *e,
                   Severity *severity)
{
    size_t longest = 0;

    *severity = e->severity;
    if (!is_selected(s, args, e->rule) || is_ignored(s, args, file, e->rule)) return false;
    if (strcmp(e->rule, "E201") == 0 && matches_one(s->known_classes, e->class_type))
        return false;
    for (size_t i = 0; i < s->n_severities; i++) {
        const SeverityRule *one = &s->severities[i];
        size_t n = strlen(one->rule);
        if (n <= longest || strncmp(e->rule, one->rule, n) != 0) continue;
        longest = n;
        if (one->severity < 0) return false;
        *severity = (Severity)one->severity;
    }
    return true;
}
