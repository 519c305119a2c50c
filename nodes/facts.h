/* facts.h - classes of the reference program that are known by name, sockets and defaults only. */
#ifndef WEFT_NODES_FACTS_H
#define WEFT_NODES_FACTS_H

#include "engine/graph/node.h"

/* Sorted by class name, run is NULL in all of them. Holds the executable classes too: the editor's files
 * store values by the position of the widgets that these rows list. */
extern const NodeDef facts_nodes[];
extern const size_t facts_count;

#endif
