/* script.h - what runs the node classes of Lua scripts. */
#ifndef WEFT_NODES_SCRIPT_H
#define WEFT_NODES_SCRIPT_H

#include "engine/script/script.h"

/* The classes themselves are made at run time, one per script (script_set_load). */
extern const ScriptRunners nodes_script_runners;

#endif
