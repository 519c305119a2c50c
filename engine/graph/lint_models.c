/* lint_models.c - which model, text encoder, VAE, latent and guidance go together in the FLUX families.
 *
 * Told by the file names that the publishers use, so that it holds where no weights are; a name that says
 * nothing is left alone. Letters and digits count only: "FLUX.1-dev", "flux1_dev" and "flux1Dev" are one.
 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "engine/graph/lint_internal.h"

typedef enum Family {
    FAMILY_NONE,
    FLUX1_DEV, /* distilled from guidance: reads one scale, wants cfg 1 */
    FLUX1_SCHNELL,
    FLUX1_OTHER,
    FLUX2_DEV,
    KLEIN_4B,
    KLEIN_9B
} Family;

enum { NAME_MAX = 200 };

/* Letters and digits of the last part of a path, in lower case. */
static void squeeze(const char *name, char out[NAME_MAX])
{
    size_t n = 0;

    for (const char *p = name; *p; p++)
        if (*p == '/' || *p == '\\') name = p + 1;
    for (const char *p = name; *p && n < NAME_MAX - 1; p++)
        if (isalnum((unsigned char)*p)) out[n++] = (char)tolower((unsigned char)*p);
    out[n] = 0;
}

static bool has_any(const char *name, const char *const *words)
{
    for (; *words; words++)
        if (strstr(name, *words)) return true;
    return false;
}

static Family family_of_name(const char *file)
{
    static const char *const relatives[] = { "chroma", "distill", "openflux", "libreflux",
                                             "flex1",  "flex2",   NULL };
    static const char *const distilled[] = { "dev",   "kontext", "fill", "canny",
                                             "depth", "krea",    NULL };
    char name[NAME_MAX];

    squeeze(file, name);
    if (has_any(name, relatives)) return FAMILY_NONE;
    if (strstr(name, "klein")) return strstr(name, "9b") ? KLEIN_9B : KLEIN_4B;
    if (strstr(name, "flux2")) return FLUX2_DEV;
    if (!strstr(name, "flux")) return FAMILY_NONE;
    if (strstr(name, "schnell")) return FLUX1_SCHNELL;
    return has_any(name, distilled) ? FLUX1_DEV : FLUX1_OTHER;
}

static bool is_flux1(Family f)
{
    return f == FLUX1_DEV || f == FLUX1_SCHNELL || f == FLUX1_OTHER;
}

static bool is_flux2(Family f)
{
    return f >= FLUX2_DEV;
}

static const char *text_of(const GraphNode *n, const char *name)
{
    const Literal *v = lint_literal(n, name);

    return v && v->kind == LIT_TEXT ? v->text : NULL;
}

static const char *first_text(const GraphNode *n, const char *const *names)
{
    for (; *names; names++)
        if (text_of(n, *names)) return text_of(n, *names);
    return NULL;
}

/* The family of the model at the top of a chain. */
static Family family_of(Lint *l, int model)
{
    static const char *const names[] = { "unet_name", "ckpt_name", "model_name", "model_path",
                                         NULL };
    const char *file;

    if (model < 0) return FAMILY_NONE;
    lint_place(l, model);
    file = first_text(lint_at(l, l->places[model].root), names);
    return file ? family_of_name(file) : FAMILY_NONE;
}

/* ---- cfg and guidance -------------------------------------------------------------------- */

static Status w401(Lint *l, int node, Family family)
{
    double cfg;

    if (family != FLUX1_DEV || !lint_number(l, lint_at(l, node), "cfg", &cfg) || cfg == 1)
        return OK;
    if (!lint_once(l, "W401", node)) return OK;
    return lint_say(l, "W401", node, "cfg", "use FluxGuidance, and set cfg to 1", NULL,
                    "cfg %g doubles the work of a model that is distilled from guidance", cfg);
}

/* Up through nodes that only add to a conditioning, to the one whose class starts with a word, -1 = none. */
static int find_above(const Lint *l, int node, const char *input, const char *word)
{
    node = lint_source_named(l, node, input);
    for (int i = 0; node >= 0 && i < LONGEST_CONDITIONING; i++) {
        const char *class_type = lint_at(l, node)->class_type;
        if (str_starts_with(class_type, word)) return node;
        if (strcmp(class_type, "ConditioningZeroOut") == 0) return -1;
        node = lint_source_named(l, node, "conditioning");
    }
    return -1;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == 0;
}

/* Patches of guidance may read the unconditional pass at cfg 1 too, and so do the cfg_pp samplers. */
static bool reads_negative(const Lint *l, int node, int model)
{
    const char *sampler = text_of(lint_at(l, node), "sampler_name");

    if (sampler && strstr(sampler, "cfg_pp")) return true;
    return l->places[model].last[STAGE_GUIDE] >= 0;
}

static Status n402(Lint *l, int node, int model)
{
    int encoder = find_above(l, node, "negative", "CLIPTextEncode");
    const char *text = encoder >= 0 ? text_of(lint_at(l, encoder), "text") : NULL;
    double cfg;

    if (!lint_number(l, lint_at(l, node), "cfg", &cfg) || cfg != 1) return OK;
    if (!text || is_blank(text) || reads_negative(l, node, model)) return OK;
    if (find_above(l, node, "positive", "CLIPTextEncode") == encoder) return OK;
    if (!lint_once(l, "N402", encoder)) return OK;
    return lint_say(l, "N402", encoder, "text", "", NULL,
                    "negative prompt has no effect at cfg 1 (node %s)", lint_at(l, node)->id);
}

static Status n408(Lint *l, int node, const char *positive, Family family)
{
    int guidance = find_above(l, node, positive, "FluxGuidance");

    if (guidance < 0 || (family != FLUX1_SCHNELL && family != KLEIN_4B && family != KLEIN_9B))
        return OK;
    if (!lint_once(l, "N408", guidance)) return OK;
    return lint_say(l, "N408", guidance, "guidance", "remove the node", NULL,
                    "the model of node %s has no guidance input", lint_at(l, node)->id);
}

/* ---- text encoders ----------------------------------------------------------------------- */

static bool fits_encoder(const char *file, Family family)
{
    static const char *const of_flux2[] = { "mistral", "qwen3", NULL };
    static const char *const of_flux1[] = { "t5", "clipl", "clipg", "vitl", NULL };
    char name[NAME_MAX];

    squeeze(file, name);
    if (is_flux1(family)) return !has_any(name, of_flux2);
    if (has_any(name, of_flux1)) return false;
    if (family == FLUX2_DEV) return !strstr(name, "qwen3");
    if (strstr(name, "mistral")) return false;
    return !strstr(name, family == KLEIN_4B ? "qwen38b" : "qwen34b");
}

static Status wrong_type(Lint *l, int loader, Family family, const char *type)
{
    const char *fix = is_flux1(family) ? "set type to flux" : "set type to flux2";
    Finding *f;

    TRY(lint_say(l, "W403", loader, "type", fix, &f,
                 "type %.60s is not that of a FLUX.%d text encoder", type,
                 is_flux1(family) ? 1 : 2));
    return lint_want(l, f, is_flux1(family) ? "\"flux\"" : "\"flux2\"");
}

/* Dual loaders are FLUX.1's, single ones FLUX.2's; a single one may hold FLUX.1's T5 alone. */
static Status w403(Lint *l, int loader, Family family)
{
    static const char *const files[] = { "clip_name", "clip_name1", "clip_name2" };
    const GraphNode *n = lint_at(l, loader);
    const char *type = text_of(n, "type");
    bool dual = text_of(n, "clip_name2") != NULL;

    if (!lint_once(l, "W403", loader)) return OK;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *file = text_of(n, files[i]);
        if (file && !fits_encoder(file, family))
            return lint_say(
                l, "W403", loader, files[i], "choose the encoder of the model's family", NULL,
                "%.200s is not a FLUX.%d text encoder", file, is_flux1(family) ? 1 : 2);
    }
    if (!type || (is_flux1(family) && !dual) || (is_flux2(family) && dual)) return OK;
    if (strcmp(type, is_flux1(family) ? "flux" : "flux2") == 0) return OK;
    return wrong_type(l, loader, family, type);
}

/* The node that loads the text encoder of a conditioning; -1 = none, or a checkpoint's own. */
static int encoder_loader(const Lint *l, int node, const char *positive)
{
    int clip = find_above(l, node, positive, "CLIPTextEncode");

    for (int i = 0; clip >= 0 && i < LONGEST_CONDITIONING; i++) {
        int up = lint_source(l, clip, SOCK_CLIP, NULL);
        if (up < 0) break;
        clip = up;
    }
    if (clip < 0) return -1;
    return text_of(lint_at(l, clip), "clip_name") || text_of(lint_at(l, clip), "clip_name1")
               ? clip
               : -1;
}

/* ---- latents and VAEs -------------------------------------------------------------------- */

/* Channels of the latents that a VAE reads, told by its file; 0 = not told. */
static int vae_channels(const Lint *l, int node)
{
    static const char *const sd[] = { "sdxl", "ftmse", "klf8", "sd15", NULL };
    int vae = lint_source(l, node, SOCK_VAE, NULL);
    const char *file = vae >= 0 ? text_of(lint_at(l, vae), "vae_name") : NULL;
    char name[NAME_MAX];

    if (!file) return 0;
    squeeze(file, name);
    if (strstr(name, "flux2")) return 128;
    if (strcmp(name, "aesafetensors") == 0 || strcmp(name, "aesft") == 0 ||
        strstr(name, "flux1"))
        return 16;
    return has_any(name, sd) ? 4 : 0;
}

static Status w404(Lint *l, int node, int latent_channels)
{
    int channels = vae_channels(l, node);

    if (!channels || !latent_channels || channels == latent_channels) return OK;
    if (!lint_once(l, "W404", node)) return OK;
    return lint_say(l, "W404", node, "vae", "use the VAE of the model's family", NULL,
                    "latent has %d channels, VAE wants %d", latent_channels, channels);
}

static int channels_of(Family family)
{
    return is_flux1(family) ? 16 : is_flux2(family) ? 128 : 0;
}

static Status n405(Lint *l, int latent, Family family)
{
    const char *right = is_flux1(family) ? "EmptySD3LatentImage" : "EmptyFlux2LatentImage";
    Finding *f;

    if (strcmp(lint_at(l, latent)->class_type, "EmptyLatentImage") != 0) return OK;
    if (!lint_once(l, "N405", latent)) return OK;
    TRY(lint_say(l, "N405", latent, NULL, "take the family's own class", &f,
                 "4-channel latent; converted at sampling"));
    return lint_want(l, f, "%s", right);
}

static Status n406(Lint *l, int latent)
{
    const GraphNode *n = lint_at(l, latent);
    int64_t width, height;

    if (!lint_whole(l, n, "width", &width) || !lint_whole(l, n, "height", &height)) return OK;
    if ((width % 16 == 0 && height % 16 == 0) || !lint_once(l, "N406", latent)) return OK;
    return lint_say(l, "N406", latent, width % 16 ? "width" : "height", "use multiples of 16",
                    NULL, "%" PRId64 "x%" PRId64 " is rounded", width, height);
}

/* The node where a partial denoise is set: the sampler, or the maker of its sigmas. */
static Status w407(Lint *l, int node, int latent)
{
    double denoise;
    Finding *f;
    int at = node;

    if (!str_starts_with(lint_at(l, latent)->class_type, "Empty")) return OK;
    if (!graph_input(lint_at(l, node), "denoise")) at = lint_source(l, node, SOCK_SIGMAS, NULL);
    if (at < 0 || !lint_number(l, lint_at(l, at), "denoise", &denoise)) return OK;
    if (denoise >= 1 || !lint_once(l, "W407", at)) return OK;
    TRY(lint_say(l, "W407", at, "denoise", "set denoise to 1, or start from a picture", &f,
                 "denoise %g on an empty latent keeps flat grey", denoise));
    return lint_want(l, f, "1.0");
}

static Status check_latent(Lint *l, int node, Family family)
{
    int latent = lint_empty_latent(l, node);
    int source = lint_source(l, node, SOCK_LATENT, NULL);

    if (source >= 0 && lint_source(l, source, SOCK_VAE, NULL) >= 0)
        TRY(w404(l, source, channels_of(family)));
    if (latent < 0) return OK;
    TRY(w407(l, node, latent));
    if (!channels_of(family)) return OK;
    TRY(n405(l, latent, family));
    return n406(l, latent);
}

/* ---- one node ---------------------------------------------------------------------------- */

/* The sampler above that made a latent; -1 = none. */
static int sampler_above(const Lint *l, int node)
{
    for (int i = 0; i < LONGEST_CONDITIONING; i++) {
        node = lint_source(l, node, SOCK_LATENT, NULL);
        if (node < 0 || lint_stage(lint_at(l, node)) == STAGE_SAMPLE) return node;
    }
    return -1;
}

static Status check_sampler(Lint *l, int node)
{
    int holder, model = lint_sampled_model(l, node, &holder), loader;
    Family family = family_of(l, model);
    const char *positive =
        graph_input(lint_at(l, holder), "positive") ? "positive" : "conditioning";

    TRY(check_latent(l, node, family));
    if (model < 0) return OK;
    TRY(n402(l, holder, model));
    if (!channels_of(family)) return OK;
    TRY(w401(l, holder, family));
    TRY(n408(l, holder, positive, family));
    loader = encoder_loader(l, holder, positive);
    return loader < 0 ? OK : w403(l, loader, family);
}

Status lint_models(Lint *l, int node)
{
    NodeStage stage = lint_stage(lint_at(l, node));
    int sampler;

    if (stage == STAGE_SAMPLE) return check_sampler(l, node);
    if (stage != STAGE_DECODE) return OK;
    sampler = sampler_above(l, node);
    if (sampler < 0) return OK;
    return w404(l, node, channels_of(family_of(l, lint_sampled_model(l, sampler, NULL))));
}
