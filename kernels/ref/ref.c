/* ref.c - the reference backend: every operation written to be read; oracle of all other backends. */
#include "kernels/ref/ref.h"

static const KBackend ref_backend = {
    .name = "ref",
#define REF_ENTRY(op, Desc) .op = ref_##op,
    K_OP_MAP(REF_ENTRY)
#undef REF_ENTRY
        .linear_scratch = ref_linear_scratch,
    .attention_scratch = ref_attention_scratch,
    .conv_scratch = ref_conv_scratch,
};

const KBackend *kernels_ref(void)
{
    return &ref_backend;
}
