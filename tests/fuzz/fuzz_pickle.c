/* fuzz_pickle.c - any bytes as a file of torch.save; all data of what it takes must lie inside. */
#include "tests/fuzz/fuzz.h"

#include "engine/formats/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SafeTensors *st = NULL;

    if (pickle_parse(data, size, &st, NULL) != OK) return 0;
    for (size_t i = 0; i < st->count; i++) {
        const SafeTensor *t = &st->tensors[i];

        MUST(t->data >= data && t->data <= data + size &&
             t->size <= (size_t)(data + size - t->data));
        for (int d = 0; d < t->ndim; d++)
            MUST(t->shape[d] >= 0);
    }
    safetensors_free(st);
    return 0;
}
