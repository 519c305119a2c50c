/* nodes.c - `weft nodes`: the node table as text or in ComfyUI's /object_info shape. */
#include <stdio.h>
#include <string.h>

#include "engine/cli/commands.h"
#include "engine/graph/schema.h"

static void print_number(double v)
{
    printf("%.10g", v);
}

static void print_socket(const Socket *s, bool input)
{
    printf("  %s %-28s %-14s", input ? "in " : "out", s->name, socket_type_name(s));
    if (input && (s->type == SOCK_INT || s->type == SOCK_FLOAT)) {
        printf(" default ");
        print_number(s->def);
        if (s->min < s->max) {
            printf(", ");
            print_number(s->min);
            printf(" to ");
            print_number(s->max);
        }
    }
    if (s->flags & SOCK_F_OPTIONAL) printf(" optional");
    printf("\n      %s\n", s->doc ? s->doc : "");
}

static bool is_hidden(const Socket *s)
{
    return s->flags & (SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID);
}

static void print_class(const NodeDef *def)
{
    printf("%s (%s)%s\n%s\n", def->class_type, def->category,
           def->run ? "" : " - known, not executable here", def->doc);
    if (def->engine_note) printf("In Weft: %s\n", def->engine_note);
    for (const Socket *s = def->inputs; s && s->name; s++)
        if (!is_hidden(s)) print_socket(s, true);
    for (const Socket *s = def->outputs; s && s->name; s++)
        print_socket(s, false);
}

static int print_json(const Session *session, const NodeDef *only)
{
    Str out = { 0 };
    Error err = { 0 };
    Status status = OK;
    str_add(&out, "{");
    const NodeDef *def = NULL;
    bool first = true;
    for (size_t i = 0; status == OK && (def = node_at(&session->table, i)); i++) {
        if (only && def != only) continue;
        if (!first) str_add(&out, ", ");
        first = false;
        json_write_string(&out, def->class_type, strlen(def->class_type));
        str_add(&out, ": ");
        status = node_object_info(def, session->host, &out, &err);
    }
    str_add(&out, "}\n");
    if (status == OK && !out.failed) fputs(out.text, stdout);
    if (status != OK) cli_print_error(&err);
    str_fini(&out);
    return session_exit_code(status);
}

static int unknown_class(const Session *session, const char *name)
{
    const char *names[4096];
    size_t n = 0;
    for (const NodeDef *def; n < 4096 && (def = node_at(&session->table, n)); n++)
        names[n] = def->class_type;
    const char *near = str_nearest(name, names, n);
    fprintf(stderr, "weft nodes: no class '%s'%s%s%s\n", name, near ? "; did you mean " : "",
            near ? near : "", near ? "?" : "");
    return 1;
}

static void print_list(const Session *session)
{
    const NodeDef *def;
    for (size_t i = 0; (def = node_at(&session->table, i)); i++)
        printf("%-40s %s%s\n", def->class_type, def->doc,
               def->run ? "" : " (not executable here)");
}

static int print_schema(const Session *session)
{
    Str out = { 0 };
    Error err = { 0 };
    Status status = schema_write(&session->table, session->host, &out, &err);

    if (status == OK)
        fputs(out.text, stdout);
    else
        cli_print_error(&err);
    str_fini(&out);
    return session_exit_code(status);
}

static int print_nodes(const Session *session, const CliArgs *args)
{
    const char *name = args->files.count > 0 ? args->files.items[0] : NULL;
    const NodeDef *def = name ? node_find(&session->table, name) : NULL;
    if (name && !def) return unknown_class(session, name);
    if (args->schema) return print_schema(session);
    if (args->json) return print_json(session, def);
    if (def)
        print_class(def);
    else
        print_list(session);
    return 0;
}

int cmd_nodes(const CliArgs *args)
{
    SessionOptions options;
    Session session;
    Error err = { 0 };
    cli_session_options(args, &options);
    if (session_init(&session, &options, &err) != OK) return cli_session_failed(&err);
    int status = print_nodes(&session, args);
    session_fini(&session);
    return status;
}
