/* why.h - which input changed between two runs, and what ran again because of it. */
#ifndef WEFT_WHY_H
#define WEFT_WHY_H

#include "engine/base/arena.h"
#include "engine/base/json.h"

typedef enum WhyAnswer {
    WHY_SAME,     /* equal key: nothing that it depends on changed */
    WHY_CHANGED,  /* causes tell what did */
    WHY_NEW,      /* the run before had no such node */
    WHY_ALWAYS,   /* it has no key: computed every time; causes tell by which node */
    WHY_NOT_THERE /* no such node now */
} WhyAnswer;

/* One input that differs, at the node itself or above it. Texts live in the arena or the documents. */
typedef struct WhyCause {
    const char *node, *class_type;
    const char *input;         /* NULL: the class, or the node is new */
    const char *before, *after; /* as JSON; NULL = absent */
    const char *path;          /* "6 -> 3 (positive)": how it reaches the node; "" at the node itself */
} WhyCause;

typedef struct Why {
    Arena *arena; /* owned */
    WhyAnswer answer;
    const char *node, *class_type, *title; /* title NULL = none */
    const char *was;                       /* WHY_SAME: its id before, when that was another */
    const char *how; /* where its result came from in the run that is looked at; NULL = not known */
    WhyCause *causes; /* in the arena; at most WHY_CAUSES, nearest first */
    int count;
    bool more; /* there are others */
} Why;

enum { WHY_CAUSES = 20 };

/* Compares a node of `after` with that of `before`, both runs of a record (record.h). name: an id, or a
 * title, class or last part of an id ("57:8" by "8") that only one node has. No recursion. Errors:
 * E_NOMEM. */
Status why_compare(const Json *before, const Json *after, const char *name, Why *out,
                   Error *err);
void why_fini(Why *w);

/* Which nodes of a run a name that finds none may stand for: several that have it as title, class or last part,
 * else those inside the subgraph that it names, or names a part of ("12", "12:3"; ids that are taken outside are
 * given anew when a file is read). Gives their number and adds "57:8 (KSampler), ..." of the first few. */
int why_candidates(const Json *run, const char *name, Str *out);

/* Sentences for people. `again`: the verb, "would run again" or "ran again"; since: when the run before was. */
void why_print(const Why *w, const char *again, const char *since, Str *out);
/* Members of a JSON object, without its braces. */
void why_write_json(const Why *w, Str *out);

#endif
