/* progress.c - a bar with step, seconds per step and time left, or JSON lines. */
#include "engine/cli/progress.h"

#include <string.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/base/machine.h"
#include "engine/base/str.h"
#include "engine/cli/show.h"

enum { BAR_WIDTH = 24 };

void progress_init(Progress *p, bool show)
{
    memset(p, 0, sizeof *p);
    p->out = stderr;
    p->bar = isatty(STDERR_FILENO);
    p->show = show;
}

static void close_bar(Progress *p)
{
    if (p->open) fputs("\r\033[K", p->out);
    p->open = false;
}

static void draw_bar(Progress *p, const Event *e)
{
    char bar[BAR_WIDTH + 1];
    double mean = e->step > 0 ? p->total / (double)e->step : 0;
    double left = mean * (double)(e->steps - e->step);
    int done = e->steps > 0 ? (int)(BAR_WIDTH * e->step / e->steps) : 0;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < done ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    fprintf(p->out, "\r\033[K[%s] step %lld/%lld  %.2f s/step  %d:%02d left", bar,
            (long long)e->step, (long long)e->steps, mean, (int)left / 60, (int)left % 60);
    fflush(p->out);
    p->open = true;
}

void progress_event(void *progress, const Event *e)
{
    Progress *p = progress;
    switch (e->kind) {
    case EV_EXECUTING:
        close_bar(p);
        p->total = 0;
        if (p->bar && e->class_type) {
            fprintf(p->out, "\r\033[K%s", e->class_type);
            fflush(p->out);
            p->open = true;
        }
        break;
    case EV_PROGRESS:
        p->total += e->seconds;
        if (p->bar) draw_bar(p, e);
        break;
    case EV_SAVED:
        close_bar(p);
        printf("%s\n", e->path);
        fflush(stdout);
        if (p->show) show_picture(e->path, stdout);
        break;
    case EV_NOTE:
        close_bar(p);
        fprintf(p->out, "note: %s", e->text);
        if (e->count > 0) fprintf(p->out, " (%lld)", (long long)e->count);
        if (e->detail) fprintf(p->out, ": %s", e->detail);
        fputc('\n', p->out);
        break;
    case EV_BLOCKED:
        close_bar(p);
        fprintf(p->out, "blocked: node %s (%s): %s\n", e->node, e->class_type, e->text);
        break;
    case EV_EXECUTION_SUCCESS:
    case EV_EXECUTION_ERROR:
    case EV_EXECUTION_INTERRUPTED:
        close_bar(p);
        break;
    default:
        break;
    }
}

/* ---- JSON lines ------------------------------------------------------------------------------- */

static void add_text(Str *s, const char *key, const char *value)
{
    if (!value) return;
    str_printf(s, ", \"%s\": ", key);
    json_write_string(s, value, strlen(value));
}

static void add_error(Str *s, const Error *err)
{
    str_add(s, ", \"error\": {\"status\": ");
    json_write_string(s, status_name(err->status), strlen(status_name(err->status)));
    if (err->rule[0]) add_text(s, "rule", err->rule);
    if (err->file[0]) add_text(s, "file", err->file);
    if (err->node[0]) add_text(s, "node", err->node);
    if (err->class_type[0]) add_text(s, "class_type", err->class_type);
    if (err->input[0]) add_text(s, "input", err->input);
    add_text(s, "message", err->message);
    if (err->fix[0]) add_text(s, "fix", err->fix);
    str_add(s, "}");
}

void progress_json(void *file, const Event *e)
{
    FILE *out = file;
    Str s = { 0 };
    if (e->kind == EV_PROGRAM) return; /* for the plan, which asks for more than a line holds */
    str_add(&s, "{\"event\": ");
    json_write_string(&s, event_name(e->kind), strlen(event_name(e->kind)));
    add_text(&s, "node", e->node);
    add_text(&s, "display_node", e->display_node);
    add_text(&s, "class_type", e->class_type);
    add_text(&s, "text", e->text);
    add_text(&s, "detail", e->detail);
    add_text(&s, "path", e->path);
    if (e->kind == EV_PROGRESS)
        str_printf(&s, ", \"step\": %lld, \"steps\": %lld", (long long)e->step,
                   (long long)e->steps);
    if (e->kind == EV_EXECUTION_START) str_printf(&s, ", \"nodes\": %lld", (long long)e->count);
    if (e->kind == EV_NOTE && e->count) str_printf(&s, ", \"count\": %lld", (long long)e->count);
    if (e->bytes) str_printf(&s, ", \"bytes\": %lld", (long long)e->bytes);
    if (e->seconds > 0) str_printf(&s, ", \"seconds\": %.6f", e->seconds);
    if (e->kind == EV_EXECUTION_SUCCESS)
        str_printf(&s, ", \"ram_peak\": %lld", (long long)machine_resident_peak());
    if (e->error) add_error(&s, e->error);
    str_add(&s, "}\n");
    if (!s.failed) fputs(s.text, out);
    fflush(out);
    str_fini(&s);
}
