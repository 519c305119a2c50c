/* guider_sides.c - brings conditionings to a latent's grid: ranges, areas, masks, weights, twins. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/guider_impl.h"
#include "engine/sampling/latent.h"

enum { FEATHER = 8, SMALLEST_BOX = 8 };

static void part_fini(Part *p)
{
    cond_entry_fini(&p->entry);
    tensor_unref(p->mask);
    tensor_unref(p->crop);
    tensor_unref(p->estimate);
    mem_free(p->weight);
}

void side_fini(Side *s)
{
    for (int i = 0; i < s->count; i++)
        part_fini(&s->parts[i]);
    mem_free(s->parts);
    memset(s, 0, sizeof *s);
}

/* A new zeroed part with a copy of e at the end of the side. */
static Status side_append(Side *s, const CondEntry *e, Part **out, Error *err)
{
    Part *grown = mem_realloc(s->parts, ((size_t)s->count + 1) * sizeof *grown);
    if (!grown) return error_set(err, E_NOMEM, "out of memory");
    s->parts = grown;
    memset(&grown[s->count], 0, sizeof *grown);
    TRY(cond_entry_copy(e, &grown[s->count].entry, err));
    *out = &grown[s->count++];
    return OK;
}

/* ---- areas ---------------------------------------------------------------------------------------------- */

static void set_window(Part *p, double h, double w, double y, double x)
{
    p->has_area = true;
    p->h = (int64_t)h;
    p->w = (int64_t)w;
    p->y = (int64_t)y;
    p->x = (int64_t)x;
}

static void resolve_area(Part *p, int64_t rows, int64_t cols)
{
    const CondArea *a = &p->entry.area;

    if (a->kind == AREA_CELLS) set_window(p, a->h, a->w, a->y, a->x);
    if (a->kind == AREA_PERCENT)
        set_window(p, fmax(1, rint(a->h * (double)rows)), fmax(1, rint(a->w * (double)cols)),
                   rint(a->y * (double)rows), rint(a->x * (double)cols));
}

/* The box around the mask's non-zero cells, at least 8 x 8. */
static void resolve_bounds(Part *p, int64_t rows, int64_t cols)
{
    int64_t top = rows, left = cols, bottom = -1, right = -1, n = tensor_count(p->mask);

    for (int64_t i = 0; i < n; i++) {
        int64_t y = i / cols % rows, x = i % cols;
        if (tensor_f32(p->mask)[i] == 0) continue;
        if (y < top) top = y;
        if (y > bottom) bottom = y;
        if (x < left) left = x;
        if (x > right) right = x;
    }
    if (bottom < 0) {
        set_window(p, SMALLEST_BOX, SMALLEST_BOX, 0, 0);
        return;
    }
    set_window(p, fmax(SMALLEST_BOX, (double)(bottom - top + 1)),
               fmax(SMALLEST_BOX, (double)(right - left + 1)), (double)top, (double)left);
}

static Status resolve_mask(Part *p, int64_t rows, int64_t cols, Error *err)
{
    const Tensor *m = p->entry.mask;
    char text[96];

    if (!m) return OK;
    tensor_describe(m, text, sizeof text);
    if (m->ndim < 2 || m->ndim > 3 || m->dtype != K_F32 || tensor_count(m) < 1)
        return error_set(err, E_SHAPE, "a conditioning's mask is %s; [B,H,W] F32 is needed",
                         text);
    int64_t src_h = m->shape[m->ndim - 2], src_w = m->shape[m->ndim - 1];
    int64_t shape[3] = { m->ndim == 3 ? m->shape[0] : 1, rows, cols };
    TRY(tensor_new(K_F32, 3, shape, &p->mask, err));
    latent_resize_bilinear(tensor_f32(m), shape[0], src_h, src_w, tensor_f32(p->mask), rows,
                           cols);
    if (p->entry.mask_bounds) resolve_bounds(p, rows, cols);
    return OK;
}

Status side_resolve(Side *s, const Cond *c, const ModelSampling *m, const Tensor *latent,
                    Error *err)
{
    int64_t rows = latent->shape[2], cols = latent->shape[3];

    for (int i = 0; i < c->count; i++) {
        Part *p = NULL;
        TRY(side_append(s, &c->entries[i], &p, err));
        p->first = model_percent_to_sigma(m, p->entry.start_percent);
        p->last = model_percent_to_sigma(m, p->entry.end_percent);
        resolve_area(p, rows, cols);
        TRY(resolve_mask(p, rows, cols, err));
    }
    return OK;
}

/* ---- twins ---------------------------------------------------------------------------------------------- */

static bool encloses(const Part *outer, const Part *inner)
{
    return inner->y >= outer->y && inner->x >= outer->x &&
           inner->y + inner->h <= outer->y + outer->h &&
           inner->x + inner->w <= outer->x + outer->w;
}

static bool same_window(const Part *a, const Part *b)
{
    return a->y == b->y && a->x == b->x && a->h == b->h && a->w == b->w;
}

/* The smallest entry of a side that covers p's window; one without area covers all. */
static const Part *smallest_cover(const Side *s, const Part *p)
{
    const Part *best = NULL;

    for (int i = 0; i < s->count; i++) {
        const Part *q = &s->parts[i];
        if (q->has_area && !encloses(q, p)) continue;
        bool smaller =
            !best || (q->has_area && (!best->has_area || best->h * best->w > q->h * q->w));
        if (smaller) best = q;
    }
    return best;
}

/* Where p acts, with what `from` says. */
static Status make_twin(Side *s, const Part *p, const Part *from, Error *err)
{
    CondEntry e = p->entry; /* borrowed: the append copies */
    Part window = *p, *twin = NULL;

    e.embed = from->entry.embed;
    e.pooled = from->entry.pooled;
    e.guidance_use = from->entry.guidance_use;
    e.guidance = from->entry.guidance;
    e.references = from->entry.references;
    e.reference_count = from->entry.reference_count;
    e.method = from->entry.method;
    e.concat_latent = from->entry.concat_latent;
    e.concat_mask = from->entry.concat_mask;
    e.extra = from->entry.extra;
    TRY(side_append(s, &e, &twin, err));
    twin->first = window.first;
    twin->last = window.last;
    twin->mask = tensor_ref(window.mask);
    set_window(twin, (double)window.h, (double)window.w, (double)window.y, (double)window.x);
    return OK;
}

static Status match_part(Side *s, const Part *p, Error *err)
{
    const Part *from = smallest_cover(s, p);
    if (!from || (from->has_area && same_window(from, p))) return OK;
    return make_twin(s, p, from, err);
}

static Status match_areas(Side sides[SIDE_COUNT], Error *err)
{
    for (int k = 0; k < SIDE_COUNT; k++)
        for (int i = 0; i < sides[k].count; i++)
            for (int other = 0; other < SIDE_COUNT; other++)
                if (other != k && sides[k].parts[i].has_area)
                    TRY(match_part(&sides[other], &sides[k].parts[i], err));
    return OK;
}

/* ---- controls ---------------------------------------------------------------------------------------------- */

/* The i-th entry of a side without area that has (or lacks) controls; NULL past the end. */
static Part *nth_plain(Side *s, int i, bool with_controls, bool to_uncond)
{
    for (int k = 0; k < s->count; k++) {
        Part *p = &s->parts[k];
        bool has = p->entry.control_count > 0;
        if (p->has_area || has != with_controls || (to_uncond && !p->entry.control_to_uncond))
            continue;
        if (i-- == 0) return p;
    }
    return NULL;
}

static Status copy_controls(Part *to, const Part *from, Error *err)
{
    CondEntry merged = to->entry, fresh; /* borrowed */

    merged.controls = from->entry.controls;
    merged.control_count = from->entry.control_count;
    TRY(cond_entry_copy(&merged, &fresh, err));
    cond_entry_fini(&to->entry);
    to->entry = fresh;
    return OK;
}

/* Controls of the positive that also act on the negative go to its entries in turn, unless one of them has
 * controls of its own. */
static Status match_controls(Side *positive, Side *other, Error *err)
{
    Part *targets[64];
    int n = 0;

    if (nth_plain(other, 0, true, false)) return OK;
    while (n < 64 && (targets[n] = nth_plain(other, n, false, false)))
        n++;
    for (int i = 0; n > 0; i++) {
        const Part *from = nth_plain(positive, i, true, true);
        if (!from) break;
        TRY(copy_controls(targets[i % n], from, err));
    }
    return OK;
}

Status sides_match(Side sides[SIDE_COUNT], Error *err)
{
    TRY(match_areas(sides, err));
    for (int k = SIDE_POSITIVE + 1; k < SIDE_COUNT; k++)
        TRY(match_controls(&sides[SIDE_POSITIVE], &sides[k], err));
    return OK;
}

/* ---- weights ---------------------------------------------------------------------------------------------- */

/* Falls off linearly over up to 8 cells along one edge: cell t of the edge is weighted (t+1)/n. */
static float feather(int64_t from_edge, int64_t n)
{
    return from_edge < n ? (1.0f / (float)n) * (float)(from_edge + 1) : 1.0f;
}

/* Weight of one cell from the edges of its window that are no edges of the picture. */
static float edge_weight(const Part *p, int64_t y, int64_t x, int64_t rows, int64_t cols)
{
    int64_t ny = p->h / 4 < FEATHER ? p->h / 4 : FEATHER,
            nx = p->w / 4 < FEATHER ? p->w / 4 : FEATHER;
    float m = 1;

    if (p->y != 0) m *= feather(y, ny);
    if (p->y + p->h < rows) m *= feather(p->h - 1 - y, ny);
    if (p->x != 0) m *= feather(x, nx);
    if (p->x + p->w < cols) m *= feather(p->w - 1 - x, nx);
    return m;
}

static float cell_weight(const Part *p, int64_t item, int64_t y, int64_t x, int64_t rows,
                         int64_t cols)
{
    float strength = (float)p->entry.strength;

    if (p->mask) {
        float m = tensor_f32(p->mask)[(item * rows + p->y + y) * cols + p->x + x];
        return m * (float)p->entry.mask_strength * strength;
    }
    return p->has_area ? strength * edge_weight(p, y, x, rows, cols) : strength;
}

static Status clamp_window(Part *p, int64_t rows, int64_t cols, Error *err)
{
    if (!p->has_area) {
        p->h = rows;
        p->w = cols;
        return OK;
    }
    if (p->h > rows - p->y) p->h = rows - p->y;
    if (p->w > cols - p->x) p->w = cols - p->x;
    if (p->y >= 0 && p->x >= 0 && p->h > 0 && p->w > 0) return OK;
    error_set(err, E_RANGE,
              "a conditioning's area (from row %lld, column %lld) is outside the latent of "
              "%lldx%lld cells",
              (long long)p->y, (long long)p->x, (long long)rows, (long long)cols);
    error_fix(err, "move the area inside the picture");
    return E_RANGE;
}

static Status part_weights(Part *p, const Tensor *latent, bool alone, Error *err)
{
    int64_t rows = latent->shape[2], cols = latent->shape[3];

    TRY(clamp_window(p, rows, cols, err));
    p->plain = !p->has_area && !p->mask && p->entry.strength == 1;
    if (p->plain && alone) return OK;
    int64_t shape[4] = { latent->shape[0], latent->shape[1], p->h, p->w };
    bool whole = p->h == rows && p->w == cols;
    p->weight_items = p->mask && p->mask->shape[0] < shape[0] ? p->mask->shape[0] : 1;
    if (p->mask && p->mask->shape[0] >= shape[0]) p->weight_items = shape[0];
    p->weight = mem_alloc_array((size_t)(p->h * p->w), sizeof(float) * (size_t)p->weight_items);
    if (!p->weight) return error_set(err, E_NOMEM, "out of memory");
    for (int64_t i = 0; i < p->weight_items * p->h * p->w; i++)
        p->weight[i] = cell_weight(p, i / (p->h * p->w), i / p->w % p->h, i % p->w, rows, cols);
    if (!whole) TRY(tensor_new(K_F32, 4, shape, &p->crop, err));
    return tensor_new(K_F32, 4, shape, &p->estimate, err);
}

Status side_weights(Side *s, const Tensor *latent, Error *err)
{
    for (int i = 0; i < s->count; i++)
        TRY(part_weights(&s->parts[i], latent, s->count == 1, err));
    return OK;
}

void part_crop(const Part *p, const Tensor *x)
{
    if (!p->crop) return;
    int64_t rows = x->shape[2], cols = x->shape[3], planes = x->shape[0] * x->shape[1];
    float *to = tensor_f32(p->crop);

    for (int64_t k = 0; k < planes; k++)
        for (int64_t y = 0; y < p->h; y++, to += p->w)
            memcpy(to, tensor_f32(x) + (k * rows + p->y + y) * cols + p->x,
                   (size_t)p->w * sizeof *to);
}
