/* merge.c - node types that merge models. */
#include "nodes/merge.h"

#include "engine/models/merge.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

static Status merged(NodeCall *call, const Model *a, const Model *b, const Merge *merge,
                     Model **out)
{
    return model_merge(a, b, merge, host_exact(call->host), out, call->err);
}

/* ---- ModelMergeSimple -------------------------------------------------------------------- */

typedef struct SimpleIn {
    const Model *model1, *model2;
    double ratio;
} SimpleIn;

/* clang-format off */
static const Socket simple_in[] = {
    { ROW(SimpleIn, model1, SOCK_MODEL), .doc = "First model; its patches stay." },
    { ROW(SimpleIn, model2, SOCK_MODEL), .doc = "Second model." },
    { ROW(SimpleIn, ratio, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the first model." },
    END_ROWS
};
/* clang-format on */

static Status simple_run(NodeCall *call)
{
    const SimpleIn *in = call->in;
    ModelOut *out = call->out;
    const MergeShare share = { "", in->ratio };
    Merge merge = { .mode = MERGE_MIX, .shares = &share, .count = 1 };

    return merged(call, in->model1, in->model2, &merge, &out->model);
}

static const NodeDef simple_node = {
    .class_type = "ModelMergeSimple",
    .category = "advanced/model_merging",
    .doc = "A weighted mean of two models.",
    .inputs = simple_in,
    .outputs = model_out,
    .in_size = sizeof(SimpleIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_LORA,
    .run = simple_run,
};

/* ---- ModelMergeAdd ----------------------------------------------------------------------- */

typedef struct SumIn {
    const Model *model1, *model2;
} SumIn;

/* clang-format off */
static const Socket sum_in[] = {
    { ROW(SumIn, model1, SOCK_MODEL), .doc = "First model; its patches stay." },
    { ROW(SumIn, model2, SOCK_MODEL), .doc = "Second model." },
    END_ROWS
};
/* clang-format on */

static Status sum_run(NodeCall *call)
{
    const SumIn *in = call->in;
    ModelOut *out = call->out;
    Merge merge = { .mode = MERGE_ADD };

    return merged(call, in->model1, in->model2, &merge, &out->model);
}

static const NodeDef sum_node = {
    .class_type = "ModelMergeAdd",
    .category = "advanced/model_merging",
    .doc = "The sum of two models.",
    .inputs = sum_in,
    .outputs = model_out,
    .in_size = sizeof(SumIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_LORA,
    .run = sum_run,
};

/* ---- ModelMergeSubtract ------------------------------------------------------------------ */

typedef struct DifferenceIn {
    const Model *model1, *model2;
    double multiplier;
} DifferenceIn;

/* clang-format off */
static const Socket difference_in[] = {
    { ROW(DifferenceIn, model1, SOCK_MODEL), .doc = "First model; its patches stay." },
    { ROW(DifferenceIn, model2, SOCK_MODEL), .doc = "Second model." },
    { ROW(DifferenceIn, multiplier, SOCK_FLOAT), .def = 1, .min = -10, .max = 10, .step = 0.01, .doc = "Factor on the difference." },
    END_ROWS
};
/* clang-format on */

static Status difference_run(NodeCall *call)
{
    const DifferenceIn *in = call->in;
    ModelOut *out = call->out;
    Merge merge = { .mode = MERGE_SUBTRACT, .factor = in->multiplier };

    return merged(call, in->model1, in->model2, &merge, &out->model);
}

static const NodeDef difference_node = {
    .class_type = "ModelMergeSubtract",
    .category = "advanced/model_merging",
    .doc = "A multiple of the difference of two models.",
    .inputs = difference_in,
    .outputs = model_out,
    .in_size = sizeof(DifferenceIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_LORA,
    .run = difference_run,
};

/* ---- ModelMergeFlux1 ---------------------------------------------------------------------------------- */

/* clang-format off */
#define FLUX1_PARTS(X) \
    X(0, "img_in.") \
    X(1, "time_in.") \
    X(2, "guidance_in") \
    X(3, "vector_in.") \
    X(4, "txt_in.") \
    X(5, "double_blocks.0.") \
    X(6, "double_blocks.1.") \
    X(7, "double_blocks.2.") \
    X(8, "double_blocks.3.") \
    X(9, "double_blocks.4.") \
    X(10, "double_blocks.5.") \
    X(11, "double_blocks.6.") \
    X(12, "double_blocks.7.") \
    X(13, "double_blocks.8.") \
    X(14, "double_blocks.9.") \
    X(15, "double_blocks.10.") \
    X(16, "double_blocks.11.") \
    X(17, "double_blocks.12.") \
    X(18, "double_blocks.13.") \
    X(19, "double_blocks.14.") \
    X(20, "double_blocks.15.") \
    X(21, "double_blocks.16.") \
    X(22, "double_blocks.17.") \
    X(23, "double_blocks.18.") \
    X(24, "single_blocks.0.") \
    X(25, "single_blocks.1.") \
    X(26, "single_blocks.2.") \
    X(27, "single_blocks.3.") \
    X(28, "single_blocks.4.") \
    X(29, "single_blocks.5.") \
    X(30, "single_blocks.6.") \
    X(31, "single_blocks.7.") \
    X(32, "single_blocks.8.") \
    X(33, "single_blocks.9.") \
    X(34, "single_blocks.10.") \
    X(35, "single_blocks.11.") \
    X(36, "single_blocks.12.") \
    X(37, "single_blocks.13.") \
    X(38, "single_blocks.14.") \
    X(39, "single_blocks.15.") \
    X(40, "single_blocks.16.") \
    X(41, "single_blocks.17.") \
    X(42, "single_blocks.18.") \
    X(43, "single_blocks.19.") \
    X(44, "single_blocks.20.") \
    X(45, "single_blocks.21.") \
    X(46, "single_blocks.22.") \
    X(47, "single_blocks.23.") \
    X(48, "single_blocks.24.") \
    X(49, "single_blocks.25.") \
    X(50, "single_blocks.26.") \
    X(51, "single_blocks.27.") \
    X(52, "single_blocks.28.") \
    X(53, "single_blocks.29.") \
    X(54, "single_blocks.30.") \
    X(55, "single_blocks.31.") \
    X(56, "single_blocks.32.") \
    X(57, "single_blocks.33.") \
    X(58, "single_blocks.34.") \
    X(59, "single_blocks.35.") \
    X(60, "single_blocks.36.") \
    X(61, "single_blocks.37.") \
    X(62, "final_layer.")

enum { FLUX1_COUNT = 63 };

typedef struct Flux1In {
    const Model *model1, *model2;
    double shares[FLUX1_COUNT];
} Flux1In;

#define FLUX1_ROW(i, part) \
    { .name = part, .type = SOCK_FLOAT, .at = offsetof(Flux1In, shares[i]), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the first model in this part." },
static const Socket flux1_in[] = {
    { ROW(Flux1In, model1, SOCK_MODEL), .doc = "First model; its patches stay." },
    { ROW(Flux1In, model2, SOCK_MODEL), .doc = "Second model." },
    FLUX1_PARTS(FLUX1_ROW)
    END_ROWS
};
#define FLUX1_NAME(i, part) part,
static const char *const flux1_parts[] = { FLUX1_PARTS(FLUX1_NAME) };
/* clang-format on */

static Status flux1_run(NodeCall *call)
{
    const Flux1In *in = call->in;
    ModelOut *out = call->out;
    MergeShare shares[FLUX1_COUNT];
    Merge merge = { .mode = MERGE_MIX, .shares = shares, .count = FLUX1_COUNT };

    for (int i = 0; i < FLUX1_COUNT; i++)
        shares[i] = (MergeShare){ flux1_parts[i], in->shares[i] };
    return merged(call, in->model1, in->model2, &merge, &out->model);
}

static const NodeDef flux1_node = {
    .class_type = "ModelMergeFlux1",
    .category = "advanced/model_merging/model_specific",
    .doc = "A mean of two FLUX.1 models with a share for each part.",
    .inputs = flux1_in,
    .outputs = model_out,
    .in_size = sizeof(Flux1In),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_LORA,
    .run = flux1_run,
};

/* clang-format off */
const NodeDef *const merge_nodes[] = {
    &simple_node,
    &sum_node,
    &difference_node,
    &flux1_node,
    NULL,
};
/* clang-format on */
