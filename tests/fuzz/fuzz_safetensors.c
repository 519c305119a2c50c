/* fuzz_safetensors.c - any bytes as a safetensors file; all data of what it takes must lie inside. */
#include "tests/fuzz/fuzz.h"

#include "engine/formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SafeTensors *st = NULL;
    const uint8_t *at;
    size_t sum = 0;

    if (safetensors_parse(data, size, &st, NULL) != OK) return 0;
    at = st->count ? st->tensors[0].data : data + size;
    for (size_t i = 0; i < st->count; i++) {
        const SafeTensor *t = &st->tensors[i];

        MUST(t->data == at);
        at += t->size;
        sum += t->size;
        for (int d = 0; d < t->ndim; d++)
            MUST(t->shape[d] >= 0);
    }
    MUST(at == data + size && sum <= size);
    for (size_t i = 0; i < st->metadata_count; i++)
        MUST(safetensors_metadata(st, st->metadata[i].key));
    safetensors_free(st);
    return 0;
}
