/* args.c - reads the command line by its table. */
#include "engine/cli/args.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/str.h"

typedef enum ArgKind { ARG_FLAG, ARG_TEXT, ARG_LIST, ARG_COUNT, ARG_SIZE, ARG_CHOICE } ArgKind;

typedef struct ArgRow {
    const char *name;
    ArgKind kind;
    size_t at;
    unsigned commands;
    const char *takes; /* what stands after it in the help; choices split by '|' */
    const char *doc;
} ArgRow;

#define AT(field) offsetof(CliArgs, field)

enum {
    WITH_FOLDERS = CMD_RUN | CMD_VALIDATE | CMD_PLAN | CMD_NODES | CMD_WHY,
    WITH_COMPUTE = CMD_RUN | CMD_PLAN | CMD_BENCH,
    WITH_LUA = CMD_RUN | CMD_VALIDATE | CMD_PLAN | CMD_NODES | CMD_CONVERT | CMD_WHY
};

/* clang-format off */
static const ArgRow rows[] = {
    { "--models", ARG_LIST, AT(models), WITH_FOLDERS, "DIR", "models folder in ComfyUI's layout; may be given several times (default: $WEFT_MODELS, then models)" },
    { "--input", ARG_TEXT, AT(input), WITH_FOLDERS, "DIR", "folder that LoadImage reads (default: input)" },
    { "--output", ARG_TEXT, AT(output), CMD_RUN | CMD_PLAN | CMD_WHY, "DIR", "folder for results (default: output)" },
    { "--temp", ARG_TEXT, AT(temp), CMD_RUN | CMD_PLAN, "DIR", "folder for previews (default: temp)" },
    { "--lua", ARG_LIST, AT(lua), WITH_LUA, "DIR", "folder of Lua scripts; may be given several times" },
    { "--lua-memory", ARG_SIZE, AT(lua_memory), WITH_LUA | CMD_LUA, "SIZE", "memory that one call of a script may use (default: 64M)" },
    { "--lua-budget", ARG_COUNT, AT(lua_budget), WITH_LUA | CMD_LUA, "N", "instructions that one call of a script may use (default: 50000000)" },
    { "--steps", ARG_COUNT, AT(steps), CMD_LUA, "N", "plot: steps of the schedule (default: 20)" },
    { "--set", ARG_LIST, AT(set), CMD_RUN | CMD_VALIDATE | CMD_PLAN | CMD_WHY | CMD_CONVERT | CMD_LUA, "ID.INPUT=VALUE", "replaces one literal of the workflow; VALUE is JSON, or plain text" },
    { "--precision", ARG_CHOICE, AT(precision), WITH_COMPUTE, "exact|fast", "float32 activations, or bf16 matrix products (default: fast)" },
    { "--device", ARG_CHOICE, AT(device), WITH_COMPUTE, "auto|cpu", "where programs run (default: auto)" },
    { "--isa", ARG_CHOICE, AT(isa), WITH_COMPUTE, "generic|avx2|avx512|avx512_bf16|amx|ref", "instruction-set path of the CPU (default: the best)" },
    { "--threads", ARG_COUNT, AT(threads), WITH_COMPUTE, "N", "threads for kernels (default: one per core)" },
    { "--residency", ARG_CHOICE, AT(residency), CMD_RUN | CMD_PLAN, "auto|sequential|hybrid", "whether a component's pages leave when the next one computes" },
    { "--ram-limit", ARG_SIZE, AT(ram_limit), CMD_RUN | CMD_PLAN, "SIZE", "refuse what needs more memory (16G, 900M), and say what would fit" },
    { "--vram-limit", ARG_SIZE, AT(vram_limit), CMD_RUN | CMD_PLAN, "SIZE", "the same for the device's memory" },
    { "--dummy", ARG_FLAG, AT(dummy), CMD_RUN, NULL, "same graph, plan and shapes without reading weights or writing files" },
    { "--no-metadata", ARG_FLAG, AT(no_metadata), CMD_RUN, NULL, "leave the workflow out of written files" },
    { "--show", ARG_FLAG, AT(show), CMD_RUN, NULL, "draw each saved picture in the terminal" },
    { "--json", ARG_FLAG, AT(json), CMD_RUN | CMD_PLAN | CMD_NODES | CMD_BENCH | CMD_QUANTIZE | CMD_WHY, NULL, "JSON on standard output, one line per event" },
    { "--quiet", ARG_FLAG, AT(quiet), CMD_RUN | CMD_VALIDATE, NULL, "print nothing but errors" },
    { "--cache", ARG_TEXT, AT(cache), CMD_RUN, "classic|lru:N|lru:SIZE|none", "which node results are kept between runs: those of the last prompt, N of them, SIZE bytes (2G), or none (default: classic)" },
    { "--cache-dir", ARG_TEXT, AT(cache_dir), CMD_RUN | CMD_PLAN | CMD_WHY, "DIR", "folder of embedded prompts and of records for why (default: $XDG_CACHE_HOME/weft)" },
    { "--no-prompt-cache", ARG_FLAG, AT(no_prompt_cache), CMD_RUN | CMD_PLAN, NULL, "encode every prompt anew, keep none on disk" },
    { "--prompt-cache-size", ARG_SIZE, AT(prompt_limit), CMD_RUN, "SIZE", "bytes of embedded prompts that are kept on disk (default: 1G)" },
    { "--svg", ARG_FLAG, AT(svg), CMD_LUA, NULL, "plot: a picture of the curve" },
    { "--svg", ARG_FLAG, AT(svg), CMD_PLAN, NULL, "a drawing of the graph, as --format svg" },
    { "--dot", ARG_FLAG, AT(dot), CMD_PLAN, NULL, "the graph for Graphviz, as --format dot" },
    { "--format", ARG_CHOICE, AT(format), CMD_PLAN, "text|json|dot|svg", "form of the plan (default: text)" },
    { "--recalibrate", ARG_FLAG, AT(recalibrate), CMD_PLAN, NULL, "measure this machine's speed again" },
    { "--format", ARG_CHOICE, AT(format), CMD_VALIDATE, "text|json|sarif|junit|github|comfy", "form of the report (default: text)" },
    { "--select", ARG_TEXT, AT(select), CMD_VALIDATE, "IDS", "only these rules; prefixes, split by commas" },
    { "--ignore", ARG_TEXT, AT(ignore), CMD_VALIDATE, "IDS", "not these rules" },
    { "--severity-threshold", ARG_CHOICE, AT(threshold), CMD_VALIDATE, "error|warning|note", "findings from which the exit status is 1 (default: error)" },
    { "--fix", ARG_FLAG, AT(fix), CMD_VALIDATE, NULL, "correct what can be corrected without changing the picture's meaning" },
    { "--unsafe-fixes", ARG_FLAG, AT(unsafe_fixes), CMD_VALIDATE, NULL, "with --fix or --diff: also what may change the picture" },
    { "--diff", ARG_FLAG, AT(diff), CMD_VALIDATE, NULL, "print the corrections of --fix as a patch, and leave the files alone" },
    { "--watch", ARG_FLAG, AT(watch), CMD_VALIDATE, NULL, "check again whenever a file is saved, until interrupted" },
    { "--config", ARG_TEXT, AT(config), CMD_VALIDATE, "FILE", "settings (default: the nearest weft.toml above each file)" },
    { "--schema", ARG_FLAG, AT(schema), CMD_NODES, NULL, "print a JSON schema of API documents" },
    { "--choice-seed", ARG_COUNT, AT(choice_seed), CMD_RUN | CMD_VALIDATE | CMD_PLAN | CMD_WHY | CMD_CONVERT, "N", "picks among {a|b} in texts of UI documents (default: always the first)" },
    { "-o", ARG_TEXT, AT(out), CMD_CONVERT | CMD_LUA | CMD_PLAN, "OUT", "write here instead of standard output" },
    { "--model", ARG_TEXT, AT(model), CMD_BENCH, "FILE", "model file to measure (step, encoder, vae)" },
    { "--size", ARG_TEXT, AT(size), CMD_BENCH, "WxH", "picture size in pixels (default: 512x512)" },
    { "--tokens", ARG_COUNT, AT(tokens), CMD_BENCH, "N", "text tokens (default: 512)" },
    { "--repeat", ARG_COUNT, AT(repeat), CMD_BENCH, "N", "timed repetitions; the best counts (default: 3)" },
    { "--m", ARG_COUNT, AT(m), CMD_BENCH, "M", "gemm: rows of x (default: 1536)" },
    { "--n", ARG_COUNT, AT(n), CMD_BENCH, "N", "gemm: rows of w (default: 9216)" },
    { "--k", ARG_COUNT, AT(k), CMD_BENCH, "K", "gemm: columns of both (default: 3072)" },
    { "--cpu-time", ARG_FLAG, AT(cpu_time), CMD_BENCH, NULL, "seconds of processor time, all threads together, for machines that are busy" },
    { "--weight", ARG_TEXT, AT(weight), CMD_BENCH, "TYPE", "gemm: form of w, a type of `weft quantize` (default: BF16)" },
    { "--type", ARG_TEXT, AT(type), CMD_QUANTIZE, "TYPE", "fp8_e4m3fn, fp8_e5m2, int8 (rotated), w4a8, nf4; or for a .gguf file Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K to Q6_K IQ4_NL IQ4_XS F16 BF16" },
    { "--keep", ARG_LIST, AT(keep), CMD_QUANTIZE, "PATTERN", "tensors to leave as they are, * and ? as in file names; may be given several times" },
    { "--force", ARG_FLAG, AT(force), CMD_QUANTIZE, NULL, "write over OUT when it exists" },
    { "--help", ARG_FLAG, AT(help), ~0u, NULL, "print this" },
};
/* clang-format on */

enum { ROW_COUNT = sizeof rows / sizeof *rows };

static const ArgRow *find_row(CliCommand command, const char *name, size_t length)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if ((rows[i].commands & command) && strlen(rows[i].name) == length &&
            strncmp(rows[i].name, name, length) == 0)
            return &rows[i];
    return NULL;
}

static Status unknown_option(CliCommand command, const char *name, Error *err)
{
    const char *names[ROW_COUNT];
    size_t n = 0;
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].commands & command) names[n++] = rows[i].name;
    const char *near = str_nearest(name, names, n);
    error_set(err, E_USAGE, "unknown option '%s'", name);
    if (near) error_fix(err, "did you mean %s?", near);
    return E_USAGE;
}

/* "16G", "900M", "1.5G", plain bytes. */
static bool parse_size(const char *text, int64_t *out)
{
    char *end = NULL;
    double v = strtod(text, &end);
    int shift = *end == 'T' ? 40 : *end == 'G' ? 30 : *end == 'M' ? 20 : *end == 'K' ? 10 : 0;
    if (shift) end++;
    if (*end == 'i') end++;
    if (*end == 'B') end++;
    if (end == text || *end || !(v > 0) || v * (double)(1ll << shift) > 9e18) return false;
    *out = (int64_t)(v * (double)(1ll << shift));
    return true;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strncmp(p, value, n) == 0 && (p[n] == '|' || p[n] == 0) && n > 0) return true;
    return false;
}

static Status bad_value(const ArgRow *row, const char *value, Error *err)
{
    error_set(err, E_USAGE, "%s: '%s' is not what it takes", row->name, value);
    error_fix(err, "write %s %s", row->name, row->takes);
    return E_USAGE;
}

static Status store(const ArgRow *row, const char *value, CliArgs *out, Error *err)
{
    void *field = (char *)out + row->at;
    char *end = NULL;
    switch (row->kind) {
    case ARG_FLAG:
        *(bool *)field = true;
        return OK;
    case ARG_TEXT:
        *(const char **)field = value;
        return OK;
    case ARG_CHOICE:
        if (!is_choice(row->takes, value)) return bad_value(row, value, err);
        *(const char **)field = value;
        return OK;
    case ARG_LIST: {
        CliList *list = field;
        if (list->count == ARGS_LIST_MAX)
            return error_set(err, E_USAGE, "%s is given more than %d times", row->name,
                             ARGS_LIST_MAX);
        list->items[list->count++] = value;
        return OK;
    }
    case ARG_COUNT:
        errno = 0;
        *(int64_t *)field = strtoll(value, &end, 10);
        if (errno || *end || end == value || *(int64_t *)field < 1)
            return bad_value(row, value, err);
        return OK;
    case ARG_SIZE:
        return parse_size(value, field) ? OK : bad_value(row, value, err);
    }
    return OK;
}

/* One option, as `--name value` or `--name=value`; *i moves past what was read. */
static Status parse_option(CliCommand command, int argc, char **argv, int *i, CliArgs *out,
                           Error *err)
{
    const char *arg = argv[*i], *equals = strchr(arg, '=');
    size_t length = equals && arg[1] == '-' ? (size_t)(equals - arg) : strlen(arg);
    const ArgRow *row = find_row(command, arg, length);
    if (!row) return unknown_option(command, arg, err);
    if (row->kind == ARG_FLAG) return store(row, NULL, out, err);
    if (length < strlen(arg)) return store(row, equals + 1, out, err);
    if (*i + 1 == argc) {
        error_set(err, E_USAGE, "%s lacks its value", row->name);
        error_fix(err, "write %s %s", row->name, row->takes);
        return E_USAGE;
    }
    return store(row, argv[++*i], out, err);
}

Status args_parse(CliCommand command, int argc, char **argv, CliArgs *out, Error *err)
{
    memset(out, 0, sizeof *out);
    out->files.items = argv;
    bool only_files = false;
    for (int i = 0; i < argc; i++) {
        if (!only_files && strcmp(argv[i], "--") == 0)
            only_files = true;
        else if (only_files || argv[i][0] != '-' || argv[i][1] == 0)
            argv[out->files.count++] = argv[i];
        else
            TRY(parse_option(command, argc, argv, &i, out, err));
    }
    return OK;
}

void args_help(CliCommand command)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (!(rows[i].commands & command)) continue;
        char left[96];
        snprintf(left, sizeof left, "%s%s%s", rows[i].name, rows[i].takes ? " " : "",
                 rows[i].takes ? rows[i].takes : "");
        printf("  %-38s %s\n", left, rows[i].doc);
    }
}
