/* canny.c - edges: Gaussian, Sobel, thinning along the gradient, hysteresis.
 *
 * Source: J. Canny, "A Computational Approach to Edge Detection" (1986); borders, norms and ties as in the
 * library that the reference calls (images page, "Canny and stitching").
 */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/filter.h"

/* Buffers of one picture, each [h, w]. */
typedef struct Canny {
    int64_t h, w;
    float *grey, *rows, *smooth, *magnitude;
    uint8_t *direction, *mark;
    int64_t *stack;
} Canny;

enum { NOTHING, WEAK, STRONG };

static const int step_x[8] = { 1, 1, 0, -1, -1, -1, 0, 1 };
static const int step_y[8] = { 0, 1, 1, 1, 0, -1, -1, -1 };
static const float outside = 1e-3f; /* magnitude beyond the border: sqrt(0 + 1e-6) */

static int64_t mirror(int64_t i, int64_t n)
{
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

static int64_t clamp(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static void to_grey(const float *x, int64_t channels, Canny *c)
{
    for (int64_t i = 0; i < c->h * c->w; i++) {
        const float *p = x + i * channels;
        c->grey[i] = channels == 1 ? p[0] * 0.299f + p[0] * 0.587f + p[0] * 0.114f
                                   : p[0] * 0.299f + p[1] * 0.587f + p[2] * 0.114f;
    }
}

static void smooth(Canny *c)
{
    float taps[5], sum = 0;
    for (int k = 0; k < 5; k++) {
        taps[k] = expf(-(float)((k - 2) * (k - 2)) / 2);
        sum += taps[k];
    }
    for (int64_t i = 0; i < c->h * c->w; i++) {
        float v = 0;
        for (int k = 0; k < 5; k++)
            v += taps[k] / sum * c->grey[i / c->w * c->w + mirror(i % c->w + k - 2, c->w)];
        c->rows[i] = v;
    }
    for (int64_t i = 0; i < c->h * c->w; i++) {
        float v = 0;
        for (int k = 0; k < 5; k++)
            v += taps[k] / sum * c->rows[mirror(i / c->w + k - 2, c->h) * c->w + i % c->w];
        c->smooth[i] = v;
    }
}

static float pixel(const Canny *c, int64_t r, int64_t x)
{
    return c->smooth[clamp(r, c->h) * c->w + clamp(x, c->w)];
}

/* Gradient by Sobel; its direction in eighths of a turn, 0 = right, 2 = down. */
static void differentiate(Canny *c)
{
    for (int64_t i = 0; i < c->h * c->w; i++) {
        int64_t r = i / c->w, x = i % c->w;
        float gx = pixel(c, r - 1, x + 1) - pixel(c, r - 1, x - 1) +
                   2 * (pixel(c, r, x + 1) - pixel(c, r, x - 1)) + pixel(c, r + 1, x + 1) -
                   pixel(c, r + 1, x - 1);
        float gy = pixel(c, r + 1, x - 1) - pixel(c, r - 1, x - 1) +
                   2 * (pixel(c, r + 1, x) - pixel(c, r - 1, x)) + pixel(c, r + 1, x + 1) -
                   pixel(c, r - 1, x + 1);
        c->rows[i] = sqrtf(gx * gx + gy * gy + 1e-6f);
        c->direction[i] = (uint8_t)((int)rintf(atan2f(gy, gx) * (4 / (float)M_PI)) & 7);
    }
}

/* Whether the neighbour in direction d suppresses the pixel; an equal one to the right or below does not. */
static bool suppresses(const Canny *c, int64_t i, int d)
{
    int64_t r = i / c->w + step_y[d], x = i % c->w + step_x[d];
    bool inside = r >= 0 && r < c->h && x >= 0 && x < c->w;
    float other = inside ? c->rows[r * c->w + x] : outside;
    bool later = step_y[d] > 0 || (step_y[d] == 0 && step_x[d] > 0);
    return later ? other > c->rows[i] : other >= c->rows[i];
}

static void thin(Canny *c)
{
    for (int64_t i = 0; i < c->h * c->w; i++) {
        int d = c->direction[i];
        bool kept = !suppresses(c, i, d) && !suppresses(c, i, (d + 4) & 7);
        c->magnitude[i] = kept ? c->rows[i] : 0;
    }
}

/* Weak pixels that touch a strong one become strong, over any distance. */
static void track(Canny *c, float low, float high)
{
    int64_t depth = 0;
    for (int64_t i = 0; i < c->h * c->w; i++) {
        float m = c->magnitude[i];
        c->mark[i] = m > high ? STRONG : m > low ? WEAK : NOTHING;
        if (c->mark[i] == STRONG) c->stack[depth++] = i;
    }
    while (depth > 0) {
        int64_t i = c->stack[--depth];
        for (int d = 0; d < 8; d++) {
            int64_t r = i / c->w + step_y[d], x = i % c->w + step_x[d];
            if (r < 0 || r >= c->h || x < 0 || x >= c->w) continue;
            if (c->mark[r * c->w + x] != WEAK) continue;
            c->mark[r * c->w + x] = STRONG;
            c->stack[depth++] = r * c->w + x;
        }
    }
}

static void canny_fini(Canny *c)
{
    mem_free(c->grey);
    mem_free(c->rows);
    mem_free(c->smooth);
    mem_free(c->direction);
    mem_free(c->mark);
    mem_free(c->stack);
}

static Status canny_init(Canny *c, int64_t h, int64_t w, Error *err)
{
    size_t n = (size_t)(h * w);
    *c = (Canny){ .h = h, .w = w };
    c->grey = mem_alloc_array(n, sizeof *c->grey);
    c->rows = mem_alloc_array(n, sizeof *c->rows);
    c->smooth = mem_alloc_array(n, sizeof *c->smooth);
    c->direction = mem_alloc(n);
    c->mark = mem_alloc(n);
    c->stack = mem_alloc_array(n, sizeof *c->stack);
    if (c->grey && c->rows && c->smooth && c->direction && c->mark && c->stack) return OK;
    canny_fini(c);
    return error_set(err, E_NOMEM, "no memory to find edges");
}

static Status check(const Tensor *image, double low, double high, Error *err)
{
    const int64_t *s = image->shape;
    if (s[3] != 1 && s[3] != 3) {
        error_set(err, E_SHAPE, "edges need pictures of 1 or 3 channels, not %lld",
                  (long long)s[3]);
        error_fix(err, "take the alpha channel off with SplitImageWithAlpha");
        return E_SHAPE;
    }
    if (s[1] < 3 || s[2] < 3)
        return error_set(err, E_SHAPE, "edges need at least 3x3 pixels, not %lldx%lld",
                         (long long)s[2], (long long)s[1]);
    if (low <= high) return OK;
    error_set(err, E_RANGE, "low_threshold %g is above high_threshold %g", low, high);
    error_fix(err, "make low_threshold the smaller one");
    return E_RANGE;
}

static void write_edges(const Canny *c, float *out)
{
    for (int64_t i = 0; i < c->h * c->w; i++)
        for (int k = 0; k < 3; k++)
            out[i * 3 + k] = c->mark[i] == STRONG;
}

Status image_canny(const Tensor *image, double low, double high, Tensor **out,
                   Tensor **magnitude, Error *err)
{
    const int64_t *s = image->shape;
    Tensor *edges = NULL, *thinned = NULL;
    Canny c = { 0 };
    Status status = OK;
    TRY(check(image, low, high, err));
    TRY(canny_init(&c, s[1], s[2], err));
    TRY_DONE(tensor_new(K_F32, 4, (int64_t[]){ s[0], s[1], s[2], 3 }, &edges, err));
    TRY_DONE(tensor_new(K_F32, 3, s, &thinned, err));
    for (int64_t b = 0; b < s[0]; b++) {
        c.magnitude = tensor_f32(thinned) + b * s[1] * s[2];
        to_grey(tensor_f32(image) + b * s[1] * s[2] * s[3], s[3], &c);
        smooth(&c);
        differentiate(&c);
        thin(&c);
        track(&c, (float)low, (float)high);
        write_edges(&c, tensor_f32(edges) + b * s[1] * s[2] * 3);
    }
    *out = tensor_ref(edges);
    if (magnitude) *magnitude = tensor_ref(thinned);
done:
    tensor_unref(edges);
    tensor_unref(thinned);
    canny_fini(&c);
    return status;
}
