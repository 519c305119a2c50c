/* rebatch.c - node types that make batches of another size out of lists. */
#include "nodes/rebatch.h"

#include "engine/base/mem.h"
#include "engine/sampling/latent.h"
#include "nodes/rows.h"

/* ---- RebatchImages ------------------------------------------------------------------------------------------ */

typedef struct ImagesIn {
    ValueList images, batch_size;
} ImagesIn;

typedef struct ImagesOut {
    ValueList images;
} ImagesOut;

/* clang-format off */
static const Socket images_in[] = {
    { ROW(ImagesIn, images, SOCK_IMAGE), .flags = SOCK_F_LIST, .doc = "Lists of pictures of any sizes." },
    { ROW(ImagesIn, batch_size, SOCK_INT), .flags = SOCK_F_LIST, .def = 1, .min = 1, .max = 4096, .doc = "Pictures per batch." },
    END_ROWS
};
static const Socket images_out[] = {
    { .name = "IMAGE", .type = SOCK_IMAGE, .flags = SOCK_F_LIST, .at = offsetof(ImagesOut, images), .doc = "Batches in order; the last one may be shorter." },
    END_ROWS
};
/* clang-format on */

typedef struct Pictures {
    Tensor **items; /* owned; single pictures */
    size_t count;
    Value *batches; /* owned, goes to the output */
    size_t n_batches;
} Pictures;

static size_t count_pictures(const ValueList *list)
{
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++)
        n += (size_t)((const Tensor *)list->items[i].object)->shape[0];
    return n;
}

static Status split_pictures(Pictures *r, const ValueList *list, Error *err)
{
    size_t n = count_pictures(list);

    r->items = mem_calloc(n + 1, sizeof *r->items);
    r->batches = mem_calloc(n + 1, sizeof *r->batches);
    if (!r->items || !r->batches)
        return error_set(err, E_NOMEM, "no memory for a list of pictures");
    for (size_t i = 0; i < list->count; i++) {
        const Tensor *t = (const Tensor *)list->items[i].object;
        for (int64_t b = 0; b < t->shape[0]; b++, r->count++)
            TRY(tensor_slice(t, b, 1, &r->items[r->count], err));
    }
    return OK;
}

/* Pictures in a row go together until the batch is full or the size changes. */
static Status group_pictures(Pictures *r, size_t size, Error *err)
{
    for (size_t from = 0, to; from < r->count; from = to) {
        Tensor *batch = NULL;
        for (to = from + 1; to < r->count && to - from < size; to++)
            if (!tensor_same_shape(r->items[from], r->items[to])) break;
        TRY(tensor_concat((const Tensor *const *)(r->items + from), (int)(to - from), 0, &batch,
                          err));
        r->batches[r->n_batches++] = (Value){ .type = SOCK_IMAGE, .object = &batch->ref };
    }
    return OK;
}

static Status images_run(NodeCall *call)
{
    const ImagesIn *in = call->in;
    ImagesOut *out = call->out;
    Pictures r = { 0 };
    Status status = split_pictures(&r, &in->images, call->err);

    if (status == OK) status = group_pictures(&r, (size_t)in->batch_size.items[0].i, call->err);
    for (size_t i = 0; i < r.count; i++)
        tensor_unref(r.items[i]);
    mem_free(r.items);
    out->images = (ValueList){ r.batches, r.n_batches };
    return status;
}

static const NodeDef images_node = {
    .class_type = "RebatchImages",
    .display = "Rebatch Images",
    .category = "image/batch",
    .doc = "Makes batches of another size out of lists of pictures.",
    .inputs = images_in,
    .outputs = images_out,
    .in_size = sizeof(ImagesIn),
    .out_size = sizeof(ImagesOut),
    .flags = NODE_F_INPUT_IS_LIST,
    .run = images_run,
};

/* ---- RebatchLatents -------------------------------------------------------------------------------------- */

typedef struct LatentsIn {
    ValueList latents, batch_size;
} LatentsIn;

typedef struct LatentsOut {
    ValueList latents;
} LatentsOut;

/* clang-format off */
static const Socket latents_in[] = {
    { ROW(LatentsIn, latents, SOCK_LATENT), .flags = SOCK_F_LIST, .doc = "Lists of latents of any sizes." },
    { ROW(LatentsIn, batch_size, SOCK_INT), .flags = SOCK_F_LIST, .def = 1, .min = 1, .max = 4096, .doc = "Latents per batch." },
    END_ROWS
};
static const Socket latents_out[] = {
    { .name = "LATENT", .type = SOCK_LATENT, .flags = SOCK_F_LIST, .at = offsetof(LatentsOut, latents), .doc = "Batches in order." },
    END_ROWS
};
/* clang-format on */

/* One latent of a batch. The mask is NULL where it has none. */
typedef struct Item {
    Tensor *samples, *mask; /* owned; [1,C,h,w] and [1,H,W] */
    int64_t place;
} Item;

typedef struct Queue {
    Item *items;        /* owned */
    size_t count, from; /* waiting: [from, count) */
    Value *batches;     /* owned, goes to the output */
    size_t n_batches;
    size_t size;
} Queue;

static Status mask_of(const Latent *l, int64_t item, Tensor **out, Error *err)
{
    const Tensor *m = l->noise_mask;
    Tensor *one = NULL;

    if (!m) return OK;
    TRY(tensor_slice(m, item % m->shape[0], 1, &one, err));
    Status status = tensor_reshape(
        one, 3, (int64_t[]){ 1, m->shape[m->ndim - 2], m->shape[m->ndim - 1] }, out, err);
    tensor_unref(one);
    return status;
}

static Status add_items(Queue *q, const Latent *l, Error *err)
{
    for (int64_t i = 0; i < l->samples->shape[0]; i++) {
        Item *item = &q->items[q->count];
        /* without places of their own, items count through all latents */
        item->place =
            l->batch_index && i < l->batch_count ? l->batch_index[i] : (int64_t)q->count;
        q->count++;
        TRY(tensor_slice(l->samples, i, 1, &item->samples, err));
        TRY(mask_of(l, i, &item->mask, err));
    }
    return OK;
}

/* The masks of n items as one [n,H,W], 1 where an item has none; NULL when none has, or all are 1. */
static Status join_masks(const Item *items, int n, Tensor **out, Error *err)
{
    const Tensor *like = NULL;
    bool partial = false;

    for (int i = 0; i < n; i++)
        if (items[i].mask) like = items[i].mask;
    if (!like) return OK;
    int64_t area = tensor_count(like);
    TRY(tensor_new(K_F32, 3, (int64_t[]){ n, like->shape[1], like->shape[2] }, out, err));
    for (int64_t i = 0; i < n; i++) {
        const Tensor *m = items[i].mask;
        if (m && !tensor_same_shape(m, like)) {
            tensor_unref(*out);
            *out = NULL;
            return error_set(err, E_SHAPE,
                             "noise masks of different sizes do not go into one batch");
        }
        for (int64_t k = 0; k < area; k++) {
            tensor_f32(*out)[i * area + k] = m ? tensor_f32(m)[k] : 1;
            partial |= m && tensor_f32(m)[k] != 1;
        }
    }
    if (partial) return OK;
    tensor_unref(*out);
    *out = NULL;
    return OK;
}

static Status join_samples(const Item *items, int n, Tensor **out, Error *err)
{
    const Tensor **parts = mem_alloc_array((size_t)n, sizeof *parts);

    if (!parts) return error_set(err, E_NOMEM, "no memory for a batch");
    for (int i = 0; i < n; i++)
        parts[i] = items[i].samples;
    Status status = tensor_concat(parts, n, 0, out, err);
    mem_free(parts);
    return status;
}

static Status places_of(const Item *items, int n, Latent *to, Error *err)
{
    int64_t *index = mem_alloc_array((size_t)n, sizeof *index);

    if (!index) return error_set(err, E_NOMEM, "no memory for a batch index");
    for (int i = 0; i < n; i++)
        index[i] = items[i].place;
    Status status = latent_set_batch_index(to, index, n, err);
    mem_free(index);
    return status;
}

/* Sends the first n waiting items on as one batch. */
static Status emit(Queue *q, size_t n, Error *err)
{
    const Item *items = q->items + q->from;
    Tensor *samples = NULL, *mask = NULL;
    Latent *batch = NULL;

    TRY(join_samples(items, (int)n, &samples, err));
    TRY(latent_new(samples, &batch, err));
    q->batches[q->n_batches++] = (Value){ .type = SOCK_LATENT, .object = &batch->ref };
    q->from += n;
    TRY(join_masks(items, (int)n, &mask, err));
    if (mask) latent_set_mask(batch, mask);
    return places_of(items, (int)n, batch, err);
}

static bool fits(const Queue *q, const Latent *l)
{
    const int64_t *a = q->items[q->from].samples->shape, *b = l->samples->shape;

    return a[2] == b[2] && a[3] == b[3];
}

static size_t waiting(const Queue *q)
{
    return q->count - q->from;
}

static Status flush(Queue *q, Error *err)
{
    if (waiting(q) == 0) return OK;
    TRY(emit(q, waiting(q) < q->size ? waiting(q) : q->size, err));
    q->from = q->count; /* a change of size drops what is beyond one batch */
    return OK;
}

static Status fill_queue(Queue *q, const ValueList *list, Error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const Latent *l = (const Latent *)list->items[i].object;
        if (waiting(q) > 0 && !fits(q, l)) TRY(flush(q, err));
        TRY(add_items(q, l, err));
        if (waiting(q) <= q->size) continue;
        for (size_t n = waiting(q) / q->size; n > 0; n--)
            TRY(emit(q, q->size, err));
    }
    return flush(q, err);
}

static size_t count_latents(const ValueList *list)
{
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++)
        n += (size_t)((const Latent *)list->items[i].object)->samples->shape[0];
    return n;
}

static Status latents_run(NodeCall *call)
{
    const LatentsIn *in = call->in;
    LatentsOut *out = call->out;
    size_t n = count_latents(&in->latents);
    Queue q = { .size = (size_t)in->batch_size.items[0].i };
    Status status = OK;

    q.items = mem_calloc(n + 1, sizeof *q.items);
    q.batches = mem_calloc(n + 1, sizeof *q.batches);
    if (!q.items || !q.batches)
        status = error_set(call->err, E_NOMEM, "no memory for a list of latents");
    if (status == OK) status = fill_queue(&q, &in->latents, call->err);
    for (size_t i = 0; i < q.count; i++) {
        tensor_unref(q.items[i].samples);
        tensor_unref(q.items[i].mask);
    }
    mem_free(q.items);
    out->latents = (ValueList){ q.batches, q.n_batches };
    return status;
}

static const NodeDef latents_node = {
    .class_type = "RebatchLatents",
    .display = "Rebatch Latents",
    .category = "latent/batch",
    .doc = "Makes batches of another size out of lists of latents.",
    .inputs = latents_in,
    .outputs = latents_out,
    .in_size = sizeof(LatentsIn),
    .out_size = sizeof(LatentsOut),
    .flags = NODE_F_INPUT_IS_LIST,
    .run = latents_run,
};

/* clang-format off */
const NodeDef *const rebatch_nodes[] = {
    &images_node,
    &latents_node,
    NULL,
};
/* clang-format on */
