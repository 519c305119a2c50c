/* weft.c - the public face over a session. */
#include "engine/weft.h"

#include <locale.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/limits.h"
#include "engine/session.h"

enum { WEFT_LISTENERS = 4 };

typedef struct Listener {
    WeftEventFn fn;
    void *user;
} Listener;

struct Weft {
    Session session;
    Listener listeners[WEFT_LISTENERS];
    int listener_count;
    char message[1400];
    locale_t plain; /* owned: the host program's locale, but numbers have a decimal point */
};

struct WeftWorkflow {
    Weft *weft; /* borrowed */
    Workflow workflow;
};

/* Workflows and headers of model files write 0.5, whatever the host program's locale does. Every call that reads or
 * writes numbers stands between these two; they touch the calling thread alone. */
static locale_t point_on(const Weft *w)
{
    return uselocale(w->plain);
}

static void point_off(locale_t before)
{
    uselocale(before);
}

static const char *const default_models[] = { "models", NULL };

const char *weft_version(void)
{
    return WEFT_VERSION;
}

/* Remembers the error's text and gives its exit status. */
static int report(Weft *w, Status status, const Error *err)
{
    if (status != OK) error_format(err, w->message, sizeof w->message);
    return session_exit_code(status);
}

static const char *or_default(const char *value, const char *fallback)
{
    return value ? value : fallback;
}

static void fill_options(const WeftOptions *o, SessionOptions *out)
{
    const char *residency = or_default(o->residency, "auto");
    out->cache = o->cache;
    out->cache_dir = o->cache_dir;
    out->lua = o->lua;
    out->lua_limits = (ScriptLimits){ .memory = o->lua_memory, .budget = o->lua_budget };
    out->host = (HostOptions){
        .models = o->models ? o->models : default_models,
        .input = or_default(o->input, "input"),
        .output = or_default(o->output, "output"),
        .temp = or_default(o->temp, "temp"),
        .precision = strcmp(or_default(o->precision, "fast"), "exact") == 0 ? PRECISION_EXACT
                                                                            : PRECISION_FAST,
        .residency = strcmp(residency, "sequential") == 0 ? RESIDENCY_SEQUENTIAL
                     : strcmp(residency, "hybrid") == 0   ? RESIDENCY_HYBRID
                                                          : RESIDENCY_AUTO,
        .threads = o->threads,
        .isa = o->isa,
        .device = or_default(o->device, "auto"),
        .ram_limit = o->ram_limit,
        .dummy = o->dummy != 0,
        .metadata = !o->no_metadata,
    };
}

static void forward(void *user, const Event *e)
{
    const Weft *w = user;
    if (e->kind == EV_PROGRAM) return; /* for plans; its object is no part of the public face */
    WeftEvent event = { .name = event_name(e->kind),
                        .node = e->node,
                        .class_type = e->class_type,
                        .text = e->text,
                        .path = e->path,
                        .step = e->step,
                        .steps = e->steps,
                        .seconds = e->seconds };
    for (int i = 0; i < w->listener_count; i++)
        w->listeners[i].fn(w->listeners[i].user, &event);
}

int weft_open(const WeftOptions *options, Weft **out)
{
    SessionOptions session = { 0 };
    Error err = { 0 };
    Weft *w = mem_calloc(1, sizeof *w);
    locale_t program = w ? duplocale(uselocale(0)) : 0;
    *out = NULL;
    if (!program) {
        mem_free(w);
        return WEFT_FAILED;
    }
    w->plain =
        newlocale(LC_NUMERIC_MASK, "C", program); /* takes program over unless it fails */
    if (!w->plain) {
        freelocale(program);
        mem_free(w);
        return WEFT_FAILED;
    }
    *out = w;
    fill_options(options, &session);
    locale_t before = point_on(w);
    Status status = session_init(&w->session, &session, &err);
    point_off(before);
    if (status == OK) events_listen(host_events(w->session.host), forward, w);
    return report(w, status, &err);
}

void weft_close(Weft *w)
{
    if (!w) return;
    session_fini(&w->session);
    freelocale(w->plain);
    mem_free(w);
}

const char *weft_message(const Weft *w)
{
    return w ? w->message : "out of memory";
}

int weft_on_event(Weft *w, WeftEventFn fn, void *user)
{
    if (w->listener_count == WEFT_LISTENERS) return WEFT_USAGE;
    w->listeners[w->listener_count++] = (Listener){ fn, user };
    return WEFT_OK;
}

void weft_cancel(Weft *w)
{
    atomic_store(&host_events(w->session.host)->cancel, true);
}

/* Takes over *loaded when status is OK. */
static int keep(Weft *w, Status status, const Error *err, Workflow *loaded, WeftWorkflow **out)
{
    WeftWorkflow *workflow = status == OK ? mem_calloc(1, sizeof *workflow) : NULL;
    if (status == OK && !workflow) {
        workflow_fini(loaded);
        return WEFT_FAILED;
    }
    if (workflow) {
        workflow->weft = w;
        workflow->workflow = *loaded;
        *out = workflow;
    }
    return report(w, status, err);
}

int weft_load(Weft *w, const char *path, WeftWorkflow **out)
{
    Error err = { 0 };
    Workflow loaded;
    locale_t before = point_on(w);
    Status status = workflow_open(&w->session, path, &loaded, &err);
    point_off(before);
    return keep(w, status, &err, &loaded, out);
}

int weft_load_text(Weft *w, const char *text, size_t length, WeftWorkflow **out)
{
    Error err = { 0 };
    Workflow loaded;
    locale_t before = point_on(w);
    Status status = workflow_from_text(&w->session, text, length, &loaded, &err);
    point_off(before);
    return keep(w, status, &err, &loaded, out);
}

void weft_unload(WeftWorkflow *workflow)
{
    if (!workflow) return;
    workflow_fini(&workflow->workflow);
    mem_free(workflow);
}

int weft_set(WeftWorkflow *workflow, const char *node, const char *input, const char *value)
{
    Error err = { 0 };
    locale_t before = point_on(workflow->weft);
    Status status = workflow_set(&workflow->workflow, node, input, value, &err);
    point_off(before);
    return report(workflow->weft, status, &err);
}

static void tell(const WeftWorkflow *workflow, const CheckReport *checked, const Finding *f,
                 WeftFindingFn fn, void *user)
{
    static const char *const severities[] = { "error", "warning", "note" };
    Error e = { 0 };
    workflow_finding(&workflow->workflow, checked, f, &e);
    WeftFinding finding = { .severity = severities[e.severity],
                            .rule = e.rule,
                            .node = e.node,
                            .class_type = e.class_type,
                            .input = e.input,
                            .message = e.message,
                            .fix = e.fix,
                            .line = e.line,
                            .column = e.column };
    fn(user, &finding);
}

static int check(WeftWorkflow *workflow, WeftFindingFn fn, void *user)
{
    Error err = { 0 };
    CheckReport *checked = NULL;
    Status status = workflow_check(&workflow->workflow, true, &checked, &err);
    if (status != OK) return report(workflow->weft, status, &err);
    for (int i = 0; fn && i < checked->count; i++)
        tell(workflow, checked, &checked->items[i], fn, user);
    int result = checked->errors > 0 ? WEFT_WORKFLOW : WEFT_OK;
    check_free(checked);
    return result;
}

int weft_check(WeftWorkflow *workflow, WeftFindingFn fn, void *user)
{
    locale_t before = point_on(workflow->weft);
    int result = check(workflow, fn, user);
    point_off(before);
    return result;
}

/* The first error of a report as the session's message. */
static Status first_error(const Workflow *w, const CheckReport *checked, Error *err)
{
    for (int i = 0; i < checked->count; i++)
        if (checked->items[i].severity == SEV_ERROR) {
            workflow_finding(w, checked, &checked->items[i], err);
            return E_WORKFLOW;
        }
    return OK;
}

int weft_run(WeftWorkflow *workflow)
{
    Error err = { 0 };
    CheckReport *checked = NULL;
    locale_t before = point_on(workflow->weft);
    Status status = workflow_check(&workflow->workflow, true, &checked, &err);
    if (status == OK) status = first_error(&workflow->workflow, checked, &err);
    if (status == OK) status = limits_apply(&workflow->workflow, checked, &err);
    if (status == OK) status = workflow_run(&workflow->workflow, checked, NULL, &err);
    point_off(before);
    atomic_store(&host_events(workflow->weft->session.host)->cancel, false);
    check_free(checked);
    return report(workflow->weft, status, &err);
}

int weft_run_file(Weft *w, const char *path)
{
    WeftWorkflow *workflow = NULL;
    int status = weft_load(w, path, &workflow);
    if (status == WEFT_OK) status = weft_run(workflow);
    weft_unload(workflow);
    return status;
}
