/* detect.c - recognises a transformer by the names of its tensors. */
#include "engine/models/detect.h"

#include <stdio.h>

#include "engine/formats/recognise.h"
#include "engine/models/flux1.h"
#include "engine/models/flux2.h"

/* A new family is a row here. */
static const ModelFamily *const families[] = { &flux1_family, &flux2_family };

/* Where a transformer lies inside a file. */
static const char *const prefixes[] = { "model.diffusion_model.", "diffusion_model.",
                                        "transformer.", "" };

typedef struct Renaming {
    const ModelFamily *family;
} Renaming;

static bool rename_tensor(void *user, const char *name, char *buf, size_t size)
{
    const Renaming *r = user;
    if (r->family->rename && r->family->rename(name, buf, size)) return true;
    int n = snprintf(buf, size, "%s", name);
    return n >= 0 && (size_t)n < size;
}

/* Tries one prefix; *out stays NULL when no family is there. */
static Status try_prefix(const Weights *w, const char *prefix, const ModelFamily **family,
                         Weights **out, Error *err)
{
    Status status = OK;
    Weights *scope = NULL, *renamed = NULL;

    TRY(weights_scope(w, prefix, &scope, err));
    for (size_t i = 0; !*out && i < sizeof families / sizeof *families; i++) {
        Renaming r = { families[i] };
        TRY_DONE(weights_rename(scope, rename_tensor, &r, &renamed, err));
        if (families[i]->detect(renamed)) {
            *family = families[i];
            *out = weights_ref(renamed);
        }
        weights_unref(renamed);
        renamed = NULL;
    }
done:
    weights_unref(scope);
    return status;
}

Status detect_transformer(const Weights *w, const ModelFamily **family, Weights **out,
                          Error *err)
{
    Weights *found = NULL;

    for (size_t i = 0; !found && i < sizeof prefixes / sizeof *prefixes; i++)
        if (!*prefixes[i] || weights_has_prefix(w, prefixes[i]))
            TRY(try_prefix(w, prefixes[i], family, &found, err));
    if (!found) return recognise_refuse(w, "FLUX transformer", err);
    *out = found;
    return OK;
}
