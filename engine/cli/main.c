/* main.c - the command line: finds the sub-command, reads its options, calls it. */
#include <stdio.h>
#include <string.h>

#include "engine/cli/commands.h"
#include "engine/weft.h"

typedef struct CommandRow {
    const char *name;
    CliCommand command;
    int (*run)(const CliArgs *args);
    const char *takes, *doc;
} CommandRow;

static const CommandRow commands[] = {
    { "run", CMD_RUN, cmd_run, "FILE...", "run saved workflows" },
    { "validate", CMD_VALIDATE, cmd_validate, "FILE...",
      "check workflows without running them" },
    { "plan", CMD_PLAN, cmd_plan, "FILE", "show order, shapes and memory before a run" },
    { "convert", CMD_CONVERT, cmd_convert, "FILE", "print a workflow in API format" },
    { "nodes", CMD_NODES, cmd_nodes, "[CLASS]", "list node types, or describe one" },
    { "explain", CMD_EXPLAIN, cmd_explain, "[RULE...]",
      "why a rule of validate exists, with examples; without a rule: all of them" },
    { "bench", CMD_BENCH, cmd_bench, "step|encoder|vae|gemm|lua",
      "measure speed against the machine's peak" },
    { "quantize", CMD_QUANTIZE, cmd_quantize, "IN OUT --type TYPE",
      "write a model file in a smaller form" },
    { "why", CMD_WHY, cmd_why, "FILE NODE", "which input of a node changed since the last run" },
    { "lua", CMD_LUA, cmd_lua, "check|plot FILE...",
      "check Lua scripts, or draw the curve of one" },
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const CommandRow *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static void print_usage(FILE *out)
{
    fprintf(out, "weft %s - runs saved ComfyUI workflows\n\n", weft_version());
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  weft %-10s %-24s %s\n", commands[i].name, commands[i].takes,
                commands[i].doc);
    fprintf(out, "\n`weft COMMAND --help` lists its options.\n");
}

static int run_command(const CommandRow *row, int argc, char **argv)
{
    CliArgs args;
    Error err = { 0 };
    if (args_parse(row->command, argc, argv, &args, &err) != OK) {
        fprintf(stderr, "weft %s: ", row->name);
        cli_print_error(&err);
        return 2;
    }
    if (args.help) {
        printf("usage: weft %s %s\n%s\n\n", row->name, row->takes, row->doc);
        args_help(row->command);
        return 0;
    }
    return row->run(&args);
}

int main(int argc, char **argv)
{
    const CommandRow *row = argc > 1 ? find_command(argv[1]) : NULL;
    if (row) return run_command(row, argc - 2, argv + 2);
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        printf("weft %s\n", weft_version());
        return 0;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        print_usage(stdout);
        return 0;
    }
    if (argc > 1) fprintf(stderr, "weft: no command '%s'\n\n", argv[1]);
    print_usage(stderr);
    return 2;
}
