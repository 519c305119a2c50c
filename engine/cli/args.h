/* args.h - the command line as a table: every option once, with its commands, its field and its help. */
#ifndef WEFT_CLI_ARGS_H
#define WEFT_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/status.h"

enum { ARGS_LIST_MAX = 64 };

/* Sub-commands as bits, so that an option says where it holds. */
typedef enum CliCommand {
    CMD_RUN = 1 << 0,
    CMD_VALIDATE = 1 << 1,
    CMD_PLAN = 1 << 2,
    CMD_CONVERT = 1 << 3,
    CMD_NODES = 1 << 4,
    CMD_BENCH = 1 << 5,
    CMD_LUA = 1 << 6,
    CMD_QUANTIZE = 1 << 7,
    CMD_EXPLAIN = 1 << 8,
    CMD_WHY = 1 << 12
} CliCommand;

typedef struct CliList {
    const char *items[ARGS_LIST_MAX + 1]; /* NULL-ended */
    int count;
} CliList;

/* What is no option; as many as there are. */
typedef struct CliFiles {
    char **items; /* in argv, whose front they take */
    int count;
} CliFiles;

/* All options of all commands; strings are borrowed from argv. */
typedef struct CliArgs {
    CliFiles files;
    CliList models, lua, set, keep;
    const char *input, *output, *temp, *cache, *cache_dir;
    const char *precision, *device, *isa, *residency, *format;
    const char *select, *ignore, *threshold, *config, *out;
    const char *model, *size, *type, *weight;
    int64_t lua_memory, lua_budget;
    int64_t threads, ram_limit, vram_limit, choice_seed, prompt_limit, steps, tokens, repeat;
    int64_t m, n, k;
    bool dummy, json, quiet, svg, dot, recalibrate, no_metadata, no_prompt_cache, help, show, force, cpu_time, fix, unsafe_fixes, diff, watch, schema;
} CliArgs;

/* Reads argv after the sub-command. Errors: E_USAGE naming the option, what it takes and what was given. */
Status args_parse(CliCommand command, int argc, char **argv, CliArgs *out, Error *err);

/* Prints the options of one command to stdout. */
void args_help(CliCommand command);

#endif
