/* table.h - all node types. */
#ifndef WEFT_NODES_TABLE_H
#define WEFT_NODES_TABLE_H

#include "engine/graph/node.h"

/* The built-in families and the facts of classes beyond them; scripts are added by whoever loads them. */
NodeTable nodes_table(void);

#endif
