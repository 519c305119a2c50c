/* plan_print.c - a plan as text and as JSON. */
#include "engine/graph/plan_print.h"

#include <inttypes.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------ */

static void add_bytes(Str *out, int64_t bytes)
{
    double v = (double)bytes;

    if (bytes < 1 << 20)
        str_printf(out, "%.1f KiB", v / 1024);
    else if (bytes < 10ll << 30)
        str_printf(out, "%.1f MiB", v / (1 << 20));
    else
        str_printf(out, "%.2f GiB", v / (1 << 30));
}

static void print_bytes(Str *out, const char *what, int64_t bytes)
{
    if (bytes < 0) return;
    str_printf(out, "  %s ", what);
    add_bytes(out, bytes);
}

static void print_count(Str *out, double n, const char *unit)
{
    static const char *const powers[] = { "", "k", "M", "G", "T", "P", "E" };
    size_t i = 0;

    while (n >= 1000 && i + 1 < sizeof powers / sizeof *powers) {
        n /= 1000;
        i++;
    }
    str_printf(out, "  %.3g %s%s", n, powers[i], unit);
}

static void print_seconds(Str *out, double s)
{
    if (s < 0) return;
    if (s < 1)
        str_printf(out, "  %.3g ms", s * 1e3);
    else
        str_printf(out, "  %.1f s", s);
}

static void print_cost(const PlanCost *c, Str *out)
{
    print_bytes(out, "RAM", c->ram);
    if (c->programs > 0) {
        str_printf(out, "  %d evaluation%s", c->programs, c->programs == 1 ? "" : "s");
        print_count(out, c->flops, "FLOP");
        print_count(out, c->bytes, "B moved");
    }
    print_seconds(out, c->seconds);
}

/* Names of the components whose bits are set. */
static void print_components(const Plan *plan, const char *what, uint64_t bits, Str *out)
{
    const char *between = "";

    for (int i = 0; i < plan->n_components; i++) {
        if (!(bits >> i & 1)) continue;
        str_printf(out, "%s%s", *between ? between : what, plan->components[i].name);
        between = ", ";
    }
}

static void print_step(const Plan *plan, int i, Str *out)
{
    const PlanStep *s = &plan->steps[i];
    const GraphNode *n = &plan->graph->nodes[s->node];

    str_printf(out, "%3d  %-10s %-10s %s", i + 1, n->id, stage_name(s->stage), n->class_type);
    if (n->title && strcmp(n->title, n->class_type) != 0) str_printf(out, " \"%s\"", n->title);
    if (s->shapes) str_printf(out, "  -> %s", s->shapes);
    if (s->cached) str_add(out, "  cached");
    if (s->recalled) str_add(out, "  prompt from the cache");
    if (s->same_as >= 0) str_printf(out, "  same as %s", plan->graph->nodes[s->same_as].id);
    if (s->maybe) str_add(out, "  if asked for");
    if (s->uses > 1) str_printf(out, "  used %d times", s->uses);
    if (s->same_as < 0 && !s->cached) {
        print_cost(&s->cost, out);
        print_bytes(out, "arena", s->arena_peak);
    }
    print_components(plan, "  in memory: ", s->in_ram, out);
    print_components(plan, "  leaves: ", s->leaves, out);
    for (int k = 0; k < s->n_releases; k++)
        str_printf(out, "%s%s", k ? ", " : "  frees ", plan->graph->nodes[s->releases[k]].id);
    str_add_char(out, '\n');
}

static void print_component_lines(const Plan *plan, Str *out)
{
    if (plan->n_components > 0)
        str_add(out, "\ncomponents (mapped from their file; in memory from the first use)\n");
    for (int i = 0; i < plan->n_components; i++) {
        const PlanComponent *c = &plan->components[i];
        const char *slash = strrchr(c->file, '/');
        str_printf(out, "  %-14s %-40s", c->name, slash ? slash + 1 : c->file);
        print_bytes(out, "", c->bytes);
        str_printf(out, "  steps %d to %d", c->first + 1, c->last + 1);
        if (c->cold > c->bytes / 100) {
            print_bytes(out, "", c->cold);
            str_add(out, " still on disk");
        }
        str_add_char(out, '\n');
    }
}

static void print_peak(const Plan *plan, Str *out)
{
    const PlanPeak *p = &plan->ram;

    if (p->step < 0) return;
    const GraphNode *n = &plan->graph->nodes[plan->steps[p->step].node];
    str_add(out, "\nRAM peak ");
    add_bytes(out, p->total);
    str_printf(out, " in step %d (%s)", p->step + 1, n->class_type);
    print_bytes(out, "weights", p->weights);
    if (p->merged) print_bytes(out, "changed weights", p->merged);
    print_bytes(out, "arena", p->arena);
    print_bytes(out, "values", p->heap);
    print_bytes(out, "process", p->process);
    if (plan->residency) str_printf(out, "  residency %s", plan->residency);
    str_add_char(out, '\n');
    if (plan->vram == 0)
        str_add(out, "VRAM peak none (everything runs on the CPU)\n");
    else if (plan->vram > 0) {
        str_add(out, "VRAM peak ");
        add_bytes(out, plan->vram);
        str_add_char(out, '\n');
    }
}

static void print_time(const Plan *plan, Str *out)
{
    PlanCost all = plan_total(plan);

    if (all.programs > 0) {
        str_add(out, "work");
        print_count(out, all.flops, "FLOP");
        print_count(out, all.bytes, "B moved");
        str_add_char(out, '\n');
    }
    if (all.seconds < 0) return;
    str_add(out, "expected");
    print_seconds(out, all.seconds);
    str_printf(out, " on %s", plan->device ? plan->device : "this machine");
    if (plan->disk_seconds > 0.05) {
        str_add(out, ", and");
        print_seconds(out, plan->disk_seconds);
        str_add(out, " to read files that are not in memory yet");
    }
    if (plan->rough_seconds)
        str_add(out, " (measured on a busy machine; plan again when it is idle)");
    str_add_char(out, '\n');
}

void plan_print(const Plan *plan, Str *out)
{
    for (int i = 0; i < plan->count; i++)
        print_step(plan, i, out);
    print_component_lines(plan, out);
    print_peak(plan, out);
    print_time(plan, out);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_text(Str *out, const char *key, const char *text)
{
    str_printf(out, "\"%s\": ", key);
    json_write_string(out, text, strlen(text));
    str_add(out, ", ");
}

static void put_bytes(Str *out, const char *key, int64_t bytes)
{
    str_printf(out, "\"%s\": ", key);
    if (bytes < 0)
        str_add(out, "null");
    else
        str_printf(out, "%" PRId64, bytes);
}

static void put_seconds(Str *out, const char *key, double seconds)
{
    if (seconds < 0)
        str_printf(out, "\"%s\": null", key);
    else
        str_printf(out, "\"%s\": %.6f", key, seconds);
}

static void put_cost(Str *out, const PlanCost *c)
{
    put_bytes(out, "ram", c->ram);
    str_printf(out, ", \"evaluations\": %d, \"flops\": %.0f, \"bytes\": %.0f, ", c->programs,
               c->flops, c->bytes);
    put_seconds(out, "seconds", c->seconds);
}

static void put_ids(Str *out, const char *key, const Plan *plan, const int *nodes, int n)
{
    str_printf(out, "\"%s\": [", key);
    for (int k = 0; k < n; k++) {
        const char *id = plan->graph->nodes[nodes[k]].id;
        if (k) str_add(out, ", ");
        json_write_string(out, id, strlen(id));
    }
    str_add(out, "], ");
}

/* Where every component is: "RAM", or "file" before its first use and after it left. */
static void put_zones(Str *out, const Plan *plan, const PlanStep *s)
{
    str_add(out, "\"zones\": [");
    for (int i = 0; i < plan->n_components; i++)
        str_printf(out, "%s\"%s\"", i ? ", " : "", s->in_ram >> i & 1 ? "RAM" : "file");
    str_add(out, "], ");
}

static void put_step(const Plan *plan, const PlanStep *s, Str *out)
{
    const GraphNode *n = &plan->graph->nodes[s->node];

    str_add_char(out, '{');
    put_text(out, "node", n->id);
    put_text(out, "class_type", n->class_type);
    if (n->title) put_text(out, "title", n->title);
    put_text(out, "stage", stage_name(s->stage));
    if (s->shapes) put_text(out, "result", s->shapes);
    if (s->same_as >= 0) put_text(out, "same_as", plan->graph->nodes[s->same_as].id);
    str_printf(out, "\"cached\": %s, \"prompt_cached\": %s, \"maybe\": %s, \"uses\": %d, ",
               s->cached ? "true" : "false", s->recalled ? "true" : "false",
               s->maybe ? "true" : "false", s->uses);
    put_ids(out, "frees", plan, s->releases, s->n_releases);
    put_zones(out, plan, s);
    put_cost(out, &s->cost);
    str_add(out, ", ");
    put_bytes(out, "arena_peak", s->arena_peak);
    str_add(out, ", ");
    put_bytes(out, "weights_peak", s->weights_peak);
    str_add_char(out, '}');
}

static void put_components(const Plan *plan, Str *out)
{
    str_add(out, "\"components\": [");
    for (int i = 0; i < plan->n_components; i++) {
        const PlanComponent *c = &plan->components[i];
        str_add(out, i ? ", {" : "{");
        put_text(out, "name", c->name);
        put_text(out, "file", c->file);
        put_bytes(out, "bytes", c->bytes);
        str_add(out, ", ");
        put_bytes(out, "on_disk", c->cold);
        str_printf(out, ", \"first_step\": %d, \"last_step\": %d}", c->first + 1, c->last + 1);
    }
    str_add(out, "], ");
}

static void put_peak(const Plan *plan, Str *out)
{
    const PlanPeak *p = &plan->ram;

    if (p->step < 0) {
        str_add(out, "\"ram\": null, ");
        return;
    }
    str_printf(out, "\"ram\": {\"step\": %d, ", p->step + 1);
    put_bytes(out, "weights", p->weights);
    str_add(out, ", ");
    put_bytes(out, "changed_weights", p->merged);
    str_add(out, ", ");
    put_bytes(out, "arena", p->arena);
    str_add(out, ", ");
    put_bytes(out, "values", p->heap);
    str_add(out, ", ");
    put_bytes(out, "process", p->process);
    str_add(out, "}, ");
}

static void put_notes(const Plan *plan, Str *out)
{
    str_add(out, "\"notes\": [");
    for (int i = 0; i < plan->n_notes; i++) {
        if (i) str_add(out, ", ");
        json_write_string(out, plan->notes[i], strlen(plan->notes[i]));
    }
    str_add(out, "], ");
}

void plan_write_json(const Plan *plan, Str *out)
{
    PlanCost all = plan_total(plan);

    str_add(out, "{\"steps\": [");
    for (int i = 0; i < plan->count; i++) {
        if (i) str_add(out, ", ");
        put_step(plan, &plan->steps[i], out);
    }
    str_add(out, "], ");
    put_components(plan, out);
    put_peak(plan, out);
    put_notes(plan, out);
    if (plan->residency) put_text(out, "residency", plan->residency);
    if (plan->device) put_text(out, "device", plan->device);
    put_bytes(out, "arena_peak", plan_arena_peak(plan));
    str_add(out, ", ");
    put_bytes(out, "weights_peak", plan_weights_peak(plan));
    str_add(out, ", ");
    put_bytes(out, "ram_peak", all.ram);
    str_add(out, ", ");
    put_bytes(out, "vram_peak", plan->vram);
    str_printf(out, ", \"evaluations\": %d, \"flops\": %.0f, \"bytes\": %.0f, ", all.programs,
               all.flops, all.bytes);
    put_seconds(out, "seconds", all.seconds);
    str_add(out, ", ");
    put_seconds(out, "disk_seconds", plan->disk_seconds);
    str_printf(out, ", \"rough_seconds\": %s", plan->rough_seconds ? "true" : "false");
    str_add_char(out, '}');
}
