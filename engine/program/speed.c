/* speed.c - how long a program will take on this machine, from a short calibration. */
#include "engine/program/speed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "engine/base/file.h"
#include "engine/base/machine.h"
#include "engine/base/mem.h"
#include "engine/program/ops.h"

enum { MAX_ROWS = 4, MAX_SIZES = 3, MAX_CURVES = 96, KEY_SIZE = 48, FILE_MAX = 1 << 20 };

/* Rates of one kind of operation with its dtypes. */
typedef struct Curve {
    char key[KEY_SIZE]; /* "linear/BF16/Q4_K": kind, activations, weight */
    double rate[MAX_ROWS][MAX_SIZES];
    bool rough; /* measured while others wanted the processors */
} Curve;

struct Speed {
    const KBackend *backend;
    int threads;
    char *machine, *path; /* owned; path may be NULL */
    Curve curves[MAX_CURVES];
    int count, measured;
    double spent;
    bool rough; /* a curve that was asked for is */
};

/* A probe: one operation of a given size. Builds it into p, whose operands have dtype t. */
typedef struct Probe {
    KDtype operand, weight;
    bool normed, norm_bf16;
    int64_t rows, size;
    void *data; /* memory for the weight */
} Probe;

typedef struct Kind {
    const char *name;
    void (*build)(Program *p, const Probe *probe);
    int rows[MAX_ROWS]; /* 0 ends; the curve that fits the operation's rows is taken */
    int sizes[MAX_SIZES];
    bool by_bytes; /* the work is bytes moved; else floating point operations */
} Kind;

/* ---- probes ---------------------------------------------------------------------------------- */

static ProgValue matrix(Program *p, KDtype t, int64_t rows, int64_t columns)
{
    return prog_temp(p, t, 2, (int64_t[]){ rows, columns });
}

static ProgValue heads(Program *p, KDtype t, int64_t tokens)
{
    return prog_temp(p, t, 3, (int64_t[]){ tokens, 8, 128 });
}

static ProgValue vector(Program *p, int64_t n)
{
    return prog_temp(p, K_F32, 1, &n);
}

static KWeight weight_of(const Probe *b, int64_t n, int64_t k)
{
    return (KWeight){ .data = b->data,
                      .dtype = b->weight,
                      .n = n,
                      .k = k,
                      .row_bytes = (int64_t)k_row_bytes(b->weight, k) };
}

static void build_linear(Program *p, const Probe *b)
{
    prog_linear(p, &(PLinear){ .x = matrix(p, b->operand, b->rows, b->size),
                               .w = weight_of(b, b->size, b->size),
                               .norm_scale = b->normed ? vector(p, b->size) : 0,
                               .norm_shift = b->normed ? vector(p, b->size) : 0,
                               .norm_eps = 1e-6f,
                               .norm_bf16 = b->norm_bf16,
                               .out = b->operand });
}

static void build_conv(Program *p, const Probe *b)
{
    int64_t c = b->size;
    ProgValue x = prog_temp(p, b->operand, 3, (int64_t[]){ c / 2, c / 2, c });
    prog_conv(p, &(PConv){ .x = x,
                           .w = weight_of(b, c, c * 9),
                           .kh = 3,
                           .kw = 3,
                           .pad_top = 1,
                           .pad_left = 1,
                           .pad_bottom = 1,
                           .pad_right = 1,
                           .out = b->operand });
}

static void build_attention(Program *p, const Probe *b)
{
    prog_attention(p, &(PAttention){ .q = heads(p, b->operand, b->size),
                                     .k = heads(p, b->operand, b->size),
                                     .v = heads(p, b->operand, b->size),
                                     .scale = 0.088f });
}

static void build_norm_mod(Program *p, const Probe *b)
{
    prog_norm_mod(p, &(PNormMod){ .x = matrix(p, b->operand, b->size, 1024),
                                  .scale = vector(p, 1024),
                                  .shift = vector(p, 1024),
                                  .eps = 1e-6f,
                                  .out = b->operand });
}

static void build_layer_norm(Program *p, const Probe *b)
{
    prog_layer_norm(p, &(PLayerNorm){ .x = matrix(p, b->operand, b->size, 1024),
                                      .weight = vector(p, 1024),
                                      .bias = vector(p, 1024),
                                      .eps = 1e-6f,
                                      .out = b->operand });
}

static void build_rms_norm(Program *p, const Probe *b)
{
    prog_rms_norm(p, &(PRmsNorm){ .x = matrix(p, b->operand, b->size, 1024),
                                  .weight = vector(p, 1024),
                                  .eps = 1e-6f,
                                  .out = b->operand });
}

static void build_rope(Program *p, const Probe *b)
{
    ProgValue cs = prog_temp(p, K_F32, 3, (int64_t[]){ b->size, 64, 2 });
    prog_rope(p, &(PRope){ .x = heads(p, b->operand, b->size),
                           .weight = vector(p, 128),
                           .cs = cs,
                           .eps = 1e-6f });
}

static void build_glu(Program *p, const Probe *b)
{
    prog_glu(p, &(PGlu){ .gate = matrix(p, b->operand, b->size, 1024),
                         .value = matrix(p, b->operand, b->size, 1024),
                         .act = K_ACT_SILU,
                         .out = b->operand });
}

static void build_unary(Program *p, const Probe *b)
{
    prog_unary(p, &(PUnary){ .x = matrix(p, b->operand, b->size, 1024),
                             .act = K_ACT_GELU_TANH,
                             .out = b->operand });
}

static void build_add(Program *p, const Probe *b)
{
    prog_add(p, &(PAdd){ .a = matrix(p, b->operand, b->size, 1024),
                         .b = matrix(p, b->operand, b->size, 1024) });
}

static void build_affine(Program *p, const Probe *b)
{
    prog_affine(p, &(PAffine){ .x = matrix(p, b->operand, b->size, 1024),
                               .mul = vector(p, 1024),
                               .add = vector(p, 1024),
                               .lo = -INFINITY,
                               .hi = INFINITY,
                               .out = b->operand });
}

static void build_copy(Program *p, const Probe *b)
{
    prog_copy(p, &(PCopy){ .x = matrix(p, b->operand, b->size, 1024), .out = b->operand });
}

static void build_group_stats(Program *p, const Probe *b)
{
    ProgValue mul = 0, add = 0;
    prog_group_stats(p,
                     &(PGroupStats){ .x = matrix(p, b->operand, b->size * 8, 128),
                                     .weight = vector(p, 128),
                                     .bias = vector(p, 128),
                                     .groups = 32,
                                     .eps = 1e-6f },
                     &mul, &add);
}

/* clang-format off */
static const Kind kinds[] = {
    { "linear",      build_linear,      { 1, 16, 128, 1024 }, { 64, 512, 3072 }, false },
    { "conv",        build_conv,        { 1 }, { 32, 64, 256 }, false },
    { "attention",   build_attention,   { 1 }, { 64, 256, 1536 }, false },
    { "norm_mod",    build_norm_mod,    { 1 }, { 8, 128, 2048 }, true },
    { "layer_norm",  build_layer_norm,  { 1 }, { 8, 128, 2048 }, true },
    { "rms_norm",    build_rms_norm,    { 1 }, { 8, 128, 2048 }, true },
    { "rope",        build_rope,        { 1 }, { 8, 128, 2048 }, true },
    { "glu",         build_glu,         { 1 }, { 8, 128, 2048 }, true },
    { "unary",       build_unary,       { 1 }, { 8, 128, 2048 }, true },
    { "add",         build_add,         { 1 }, { 8, 128, 2048 }, true },
    { "affine",      build_affine,      { 1 }, { 8, 128, 2048 }, true },
    { "group_stats", build_group_stats, { 1 }, { 8, 128, 2048 }, true },
    { "copy",        build_copy,        { 1 }, { 8, 128, 2048 }, true },
};
/* clang-format on */
enum { KIND_COUNT = sizeof kinds / sizeof *kinds, KIND_OTHER = KIND_COUNT - 1 };

/* What has no kind of its own moves bytes as a copy does. */
static const Kind *kind_of(const char *name)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return &kinds[KIND_OTHER];
}

static int row_count(const Kind *k)
{
    int n = 0;
    while (n < MAX_ROWS && k->rows[n])
        n++;
    return n;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double work_of(const Kind *k, const ProgOpInfo *op)
{
    return k->by_bytes ? (double)op->bytes : op->flops;
}

typedef struct Bench {
    Program *p; /* owned */
    ProgRun run;
    KContext ctx;
    void *arena; /* owned */
} Bench;

/* Seconds on the processors, over all threads. */
static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One run. Where the process had to wait for a processor, what it used of them bounds what it needs. */
static Status bench_once(Bench *b, double *seconds, Error *err)
{
    double used = processor_seconds(), began = now();

    TRY(prog_run(b->p, &b->run, NULL, 0, NULL, 0, err));
    *seconds = now() - began;
    used = processor_seconds() - used;
    if (*seconds > 1e-4 && used < *seconds) *seconds = used;
    return OK;
}

/* The best of several runs: other work on the machine only ever makes one slower. */
static Status bench_time(Bench *b, bool hurry, double *seconds, Error *err)
{
    enum { RUNS = 60 };
    double spent = 0, best = 0;

    if (!hurry) TRY(prog_run(b->p, &b->run, NULL, 0, NULL, 0, err));
    for (int i = 0; i < RUNS; i++) {
        double took = 0, began = now();
        TRY(bench_once(b, &took, err));
        if (i == 0 || took < best) best = took;
        spent += now() - began;
        if (hurry || (i >= 1 && spent > 0.2)) break;
        if (i >= 2 && spent > 8e-3 && (i >= 11 || best > 2e-3)) break;
    }
    *seconds = best;
    return OK;
}

static Status bench_init(Bench *b, const Speed *s, const Kind *kind, const Probe *probe,
                         Error *err)
{
    TRY(prog_new("probe", &b->p, err));
    kind->build(b->p, probe);
    b->ctx = (KContext){ .threads = s->threads };
    TRY(prog_plan(b->p, s->backend, &b->ctx, err));
    size_t bytes = prog_arena_bytes(b->p);
    b->arena = mem_aligned(64, bytes);
    if (!b->arena) return error_set(err, E_NOMEM, "out of memory for a measurement");
    memset(b->arena, 0x3c, bytes); /* small ordinary numbers in every format */
    b->run = (ProgRun){ .backend = s->backend, .ctx = &b->ctx, .arena = b->arena };
    return OK;
}

static void bench_fini(Bench *b)
{
    prog_free(b->p);
    mem_free(b->arena);
}

/* Work per second of one probe; 0 when the backend has no such operation. */
static Status measure_point(const Speed *s, const Kind *kind, const Probe *probe, bool hurry,
                            double *rate, Error *err)
{
    Bench b = { 0 };
    ProgOpInfo info;
    double seconds = 0;

    Status status = bench_init(&b, s, kind, probe, err);
    if (status == OK) status = bench_time(&b, hurry, &seconds, err);
    if (status == OK && prog_op_info(b.p, 0, &info) && seconds > 0)
        *rate = work_of(kind, &info) / seconds;
    bench_fini(&b);
    if (status == OK || status == E_NOMEM) return status;
    error_clear(err);
    *rate = 0;
    return OK;
}

/* Bytes of the weight of the largest probe. */
static size_t weight_room(const Kind *kind, const Probe *probe)
{
    int64_t c = kind->sizes[MAX_SIZES - 1];
    return probe->weight < K_DTYPE_COUNT ? (size_t)c * k_row_bytes(probe->weight, c * 9) + 4096
                                         : 0;
}

/* A point that could not be measured takes the rate of its neighbour. */
static void fill_gaps(Curve *c, int rows)
{
    for (int r = 0; r < rows; r++)
        for (int i = MAX_SIZES - 2; i >= 0; i--)
            if (c->rate[r][i] <= 0) c->rate[r][i] = c->rate[r][i + 1];
    for (int r = 0; r < rows; r++)
        for (int i = 1; i < MAX_SIZES; i++)
            if (c->rate[r][i] <= 0) c->rate[r][i] = c->rate[r][i - 1];
}

/* How often this process had to yield a processor so far. */
static int64_t yields(void)
{
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) == 0 ? use.ru_nivcsw : 0;
}

/* Ordinary numbers in wide formats; codes of all kinds in narrow ones, because decoding may depend on them. */
static void fill_weight(uint8_t *data, size_t size, bool codes)
{
    uint32_t seed = 1;

    memset(data, 0x3c, size);
    for (size_t i = 0; codes && i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)((seed >> 24 & 0x87) | 0x20 >> (seed >> 20 & 7));
    }
}

static Status measure_curve(Speed *s, const Kind *kind, Probe probe, Curve *c, Error *err)
{
    Status status = OK;
    enum { YIELDS_A_SECOND = 60, PATIENCE = 6 }; /* more yields are a busy machine; seconds */
    double began = now();
    int64_t yields_before = yields();
    int rows = row_count(kind);
    size_t room = weight_room(kind, &probe);

    probe.data = room ? mem_aligned(64, room) : NULL;
    if (room && !probe.data) return error_set(err, E_NOMEM, "out of memory for a measurement");
    if (room)
        fill_weight(probe.data, room,
                    k_dtype_block_elements(probe.weight) > 1 ||
                        k_dtype_block_bytes(probe.weight) == 1);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < MAX_SIZES; i++) {
            probe.rows = kind->rows[r];
            probe.size = kind->sizes[i];
            /* Out of patience: one run each, and the largest not at all. */
            bool hurry = s->spent + now() - began > PATIENCE;
            c->rough |= hurry;
            if (hurry && i == MAX_SIZES - 1) continue;
            TRY_DONE(measure_point(s, kind, &probe, hurry, &c->rate[r][i], err));
        }
    fill_gaps(c, rows);
    c->rough |= (double)(yields() - yields_before) > 5 + YIELDS_A_SECOND * (now() - began);
    s->measured++;
done:
    mem_free(probe.data);
    s->spent += now() - began;
    return status;
}

/* ---- curves ---------------------------------------------------------------------------------- */

static void make_key(const Kind *kind, const Probe *b, char key[KEY_SIZE])
{
    bool weighted = b->weight < K_DTYPE_COUNT;
    snprintf(key, KEY_SIZE, "%s/%s%s%s%s", kind->name, k_dtype_name(b->operand),
             b->norm_bf16 ? "-norm-BF16"
             : b->normed  ? "-norm"
                          : "",
             weighted ? "/" : "", weighted ? k_dtype_name(b->weight) : "");
}

static Curve *find_curve(Speed *s, const char *key)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->curves[i].key, key) == 0) return &s->curves[i];
    return NULL;
}

/* What decides about speed beside the size. Only products read their weight in its own format. */
static Probe probe_of(const Kind *kind, const ProgOpInfo *op)
{
    return (Probe){ .operand = op->operand == K_BF16 ? K_BF16 : K_F32,
                    .weight = kind->by_bytes ? K_DTYPE_COUNT : op->weight,
                    .normed = op->normed,
                    .norm_bf16 = op->norm_bf16 };
}

static Status curve_for(Speed *s, const Kind *kind, const ProgOpInfo *op, const Curve **out,
                        Error *err)
{
    char key[KEY_SIZE];
    Probe probe = probe_of(kind, op);

    make_key(kind, &probe, key);
    Curve *c = find_curve(s, key);
    if (!c) {
        Curve made = { 0 };
        if (s->count == MAX_CURVES)
            return error_set(err, E_LIMIT, "more than %d kinds of operations", MAX_CURVES);
        snprintf(made.key, sizeof made.key, "%s", key);
        TRY(measure_curve(s, kind, probe, &made, err));
        c = &s->curves[s->count++];
        *c = made;
    }
    s->rough |= c->rough;
    *out = c;
    return OK;
}

/* Where x lies between the points at[0..n): index of the lower one and the share of the upper, on a
 * logarithmic scale. Outside the points it is the nearest. */
static int place(const double *at, int n, double x, double *share)
{
    int i = 0;

    *share = 0;
    if (n < 2 || x <= at[0]) return 0;
    if (x >= at[n - 1]) return n - 1;
    while (i + 2 < n && x > at[i + 1])
        i++;
    *share = log(x / at[i]) / log(at[i + 1] / at[i]);
    return i;
}

static double between(double a, double b, double share)
{
    if (share <= 0 || a <= 0 || b <= 0) return a;
    return a * pow(b / a, share);
}

/* The work of a probe, without building it: only ratios matter here. */
static double size_work(const Kind *kind, int size)
{
    double n = size;
    if (strcmp(kind->name, "linear") == 0) return n * n;
    if (strcmp(kind->name, "attention") == 0) return 4 * n * n * 8 * 128;
    if (strcmp(kind->name, "conv") == 0) return 2 * (n / 2) * (n / 2) * n * n * 9;
    return n * 1024 * 4;
}

/* Seconds of an operation: at sizes below the smallest probe the time of that probe is not undercut by
 * less than its share, because calling costs the same. */
static double op_seconds(const Kind *kind, const Curve *c, const ProgOpInfo *op)
{
    double rows[MAX_ROWS], sizes[MAX_SIZES], row_share, share, rates[2];
    double work = work_of(kind, op);
    bool product = row_count(kind) > 1;
    double size = product ? (double)op->n * (double)op->k : work;

    for (int i = 0; i < MAX_ROWS; i++)
        rows[i] = kind->rows[i];
    for (int i = 0; i < MAX_SIZES; i++)
        sizes[i] = size_work(kind, kind->sizes[i]);
    int r = place(rows, row_count(kind), (double)op->rows, &row_share);
    int i = place(sizes, MAX_SIZES, size, &share);
    for (int k = 0; k < 2; k++) {
        const double *line = c->rate[r + k < row_count(kind) ? r + k : r];
        rates[k] = between(line[i], line[i + 1 < MAX_SIZES ? i + 1 : i], share);
    }
    double rate = between(rates[0], rates[1], row_share);
    double least = size < sizes[0] && !product && rate > 0 ? sizes[0] / rate / 2 : 0;
    double seconds = rate > 0 ? work / rate : 0;
    return seconds > least ? seconds : least;
}

Status speed_program(Speed *s, const Program *p, double *seconds, Error *err)
{
    ProgOpInfo op;
    double sum = 0;

    for (int i = 0; prog_op_info(p, i, &op); i++) {
        const Kind *kind = kind_of(op.name);
        const Curve *c = NULL;
        TRY(curve_for(s, kind, &op, &c, err));
        sum += op_seconds(kind, c, &op);
    }
    *seconds = sum;
    return OK;
}

double speed_spent(const Speed *s)
{
    return s->spent;
}

/* Bytes per second at which memory comes that nobody has written to yet. */
static Status measure_touch(Speed *s, Curve *c, Error *err)
{
    enum { SIZE = 64 << 20, TRIES = 3 };
    double started = now();

    for (int i = 0; i < TRIES; i++) {
        char *fresh = mem_aligned(4096, SIZE);
        if (!fresh) return error_set(err, E_NOMEM, "out of memory for a measurement");
        double began = now();
        for (size_t at = 0; at < SIZE; at += 4096)
            ((volatile char *)fresh)[at] = 1;
        double rate = (double)SIZE / (now() - began + 1e-9);
        if (rate > c->rate[0][0]) c->rate[0][0] = rate;
        mem_free(fresh);
    }
    s->measured++;
    s->spent += now() - started;
    return OK;
}

Status speed_touch(Speed *s, int64_t fresh, int64_t mapped, double *seconds, Error *err)
{
    enum { FAULT_AROUND = 3 }; /* a fault of a file maps 16 pages and clears none */
    Curve *c = find_curve(s, "touch");

    if (!c) {
        Curve made = { .key = "touch" };
        if (s->count == MAX_CURVES)
            return error_set(err, E_LIMIT, "too many kinds of operations");
        TRY(measure_touch(s, &made, err));
        c = &s->curves[s->count++];
        *c = made;
    }
    *seconds =
        c->rate[0][0] > 0 ? ((double)fresh + (double)mapped / FAULT_AROUND) / c->rate[0][0] : 0;
    return OK;
}

bool speed_is_rough(const Speed *s)
{
    return s->rough;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* First line: the machine. Then a curve per line: its key and all its rates. */
static const char *read_curve(const char *line, Curve *c)
{
    size_t n = strcspn(line, " \n");
    const char *p = line + n;

    if (n == 0 || n >= KEY_SIZE) return NULL;
    memcpy(c->key, line, n);
    c->key[n] = 0;
    for (int r = 0; r < MAX_ROWS; r++)
        for (int i = 0; i < MAX_SIZES; i++) {
            char *end = NULL;
            c->rate[r][i] = strtod(p, &end);
            if (end == p || !(c->rate[r][i] >= 0) || c->rate[r][i] > 1e18) return NULL;
            p = end;
        }
    c->rough = strncmp(p, " rough", 6) == 0;
    if (c->rough) p += 6;
    return *p == '\n' ? p + 1 : NULL;
}

static void read_curves(Speed *s, const char *text)
{
    size_t n = strlen(s->machine);

    bool calm = machine_load() < 0.5 * s->threads;

    if (strncmp(text, s->machine, n) != 0 || text[n] != '\n') return;
    for (const char *p = text + n + 1; p && *p && s->count < MAX_CURVES;) {
        p = read_curve(p, &s->curves[s->count]);
        /* A rough one is measured again once the machine has calmed down. */
        if (p && !(s->curves[s->count].rough && calm)) s->count++;
    }
}

Status speed_open(const SpeedOptions *o, Speed **out, Error *err)
{
    char *text = NULL;
    size_t size = 0;
    Speed *s = mem_calloc(1, sizeof *s);

    if (!s) return error_set(err, E_NOMEM, "out of memory");
    s->backend = o->backend;
    s->threads = o->threads;
    s->machine = mem_strdup(o->machine);
    s->path = o->path ? mem_strdup(o->path) : NULL;
    if (!s->machine || (o->path && !s->path)) {
        speed_free(s);
        return error_set(err, E_NOMEM, "out of memory");
    }
    if (s->path && !o->fresh && file_exists(s->path) &&
        file_read(s->path, FILE_MAX, &text, &size, NULL) == OK)
        read_curves(s, text);
    mem_free(text);
    *out = s;
    return OK;
}

void speed_free(Speed *s)
{
    if (!s) return;
    mem_free(s->machine);
    mem_free(s->path);
    mem_free(s);
}

Status speed_save(const Speed *s, Error *err)
{
    Str text = { 0 };

    if (!s->path || s->measured == 0) return OK;
    str_printf(&text, "%s\n", s->machine);
    for (int i = 0; i < s->count; i++) {
        str_add(&text, s->curves[i].key);
        for (int k = 0; k < MAX_ROWS * MAX_SIZES; k++)
            str_printf(&text, " %.6g", s->curves[i].rate[k / MAX_SIZES][k % MAX_SIZES]);
        if (s->curves[i].rough) str_add(&text, " rough");
        str_add_char(&text, '\n');
    }
    Status status = text.failed ? error_set(err, E_NOMEM, "out of memory")
                                : file_write(s->path, text.text, text.length, err);
    str_fini(&text);
    return status;
}
