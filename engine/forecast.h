/* forecast.h - what a run will need: a pass through the graph without weights, with a ledger of memory.
 *
 * The nodes run on a host that is `dummy`: they build and plan the same programs and make values of the same
 * shapes. The ledger adds, at every moment, the bare process, the heap (counted in base/mem), the arena of
 * the programs, and the pages of the weights that have been read and not been given back; its highest sum
 * is the highest resident size of the real run. The time of a step is what the pass itself took in it plus
 * what its programs will take (program/speed).
 */
#ifndef WEFT_FORECAST_H
#define WEFT_FORECAST_H

#include "engine/graph/plan.h"
#include "engine/program/speed.h"
#include "engine/residency/host.h"

typedef struct ForecastOptions {
    const HostOptions *host; /* of the run that is foreseen; `dummy` is set here */
    const HostMenus *menus;
    const NodeTable *table; /* for nodes that expand */
    Cache *cache; /* of the pass: results live as long in it as in the run's; NULL = none */
    Speed *speed; /* NULL = no seconds */
} ForecastOptions;

/* The speed table of the machine for such a host, from the cache folder; `fresh` measures all again.
 * version: of this program, part of what a table is good for. */
Status forecast_speed(const Host *h, const char *version, bool fresh, Speed **out, Error *err);

/* Fills the steps, components, peaks and times of a plan of g. Errors: those of a run, with file and node. */
Status forecast_graph(Graph *g, const CheckReport *report, const ForecastOptions *options,
                      Plan *plan, Error *err);

#endif
