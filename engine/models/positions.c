/* positions.c - position ids and the rotary table. */
#include "engine/models/positions.h"

#include <math.h>

static int64_t cells(const PosLayout *l, int64_t size)
{
    return (size + l->patch - 1) / l->patch;
}

int64_t pos_tokens(const PosLayout *l, PosSize size)
{
    return cells(l, size.h) * cells(l, size.w);
}

/* One token at `id`: [pairs][2]. Returns the end. */
static float *write_token(const PosLayout *l, const double id[POS_MAX_AXES], float *out)
{
    for (int a = 0; a < l->axes; a++) {
        for (int64_t j = 0; j < l->width[a] / 2; j++) {
            double angle =
                id[a] == 0 ? 0 : id[a] * pow(l->theta, -2.0 * (double)j / (double)l->width[a]);
            *out++ = id[a] == 0 ? 1.0f : (float)cos(angle);
            *out++ = id[a] == 0 ? 0.0f : (float)sin(angle);
        }
    }
    return out;
}

/* A grid of tokens: first axis fixed, rows and columns counted from an offset. */
static float *write_grid(const PosLayout *l, PosSize size, double first, int64_t row0,
                         int64_t col0, float *out)
{
    for (int64_t r = 0; r < cells(l, size.h); r++) {
        for (int64_t c = 0; c < cells(l, size.w); c++) {
            double id[POS_MAX_AXES] = { first, (double)(row0 + r), (double)(col0 + c), 0 };
            out = write_token(l, id, out);
        }
    }
    return out;
}

/* State of the placement of references, in latent pixels. */
typedef struct Placement {
    int64_t h, w;
} Placement;

/* First-axis id and offsets (latent pixels) of reference k (from 0); moves the state on. */
static double place(const PosLayout *l, PosSize target, PosSize ref, int k, RefMethod method,
                    Placement *state, PosSize *offset)
{
    *offset = (PosSize){ 0, 0 };
    if (method == REF_INDEX) return (double)(k + 1) * l->index_scale;
    if (method == REF_UXO) {
        offset->h = cells(l, target.h) * l->patch + state->h;
        offset->w = cells(l, target.w) * l->patch + state->w;
        state->h += ref.h;
        state->w += ref.w;
        return 0;
    }
    if (ref.h + state->h > ref.w + state->w)
        offset->w = state->w;
    else
        offset->h = state->h;
    if (ref.h + offset->h > state->h) state->h = ref.h + offset->h;
    if (ref.w + offset->w > state->w) state->w = ref.w + offset->w;
    return 1;
}

void pos_table(const PosLayout *l, int64_t text, PosSize target, const PosSize *refs,
               int n_refs, RefMethod method, float *out)
{
    Placement state = { 0, 0 };

    for (int64_t t = 0; t < text; t++) {
        double id[POS_MAX_AXES] = { 0 };
        if (l->text_axis >= 0) id[l->text_axis] = (double)t;
        out = write_token(l, id, out);
    }
    out = write_grid(l, target, 0, 0, 0, out);
    for (int k = 0; k < n_refs; k++) {
        PosSize at;
        double first = place(l, target, refs[k], k, method, &state, &at);
        out = write_grid(l, refs[k], first, (at.h + l->patch / 2) / l->patch,
                         (at.w + l->patch / 2) / l->patch, out);
    }
}
