/* encoder.h - the CLIP value of a workflow: tokenizers and their networks.
 *
 *   TextEncoder *e = NULL;
 *   TRY(text_encoder_open(host, files, 1, "flux2", &e, err));
 *   TRY(text_encode(e, host, "a cat", &cond, err));
 *   text_encoder_unref(e);
 *
 * The kind of network is told by the tensors in the files, not by their names. An encoder has
 * no state: encoding the same text twice gives the same values, so that results may be kept by
 * (encoder, text).
 */
#ifndef WEFT_TEXT_ENCODER_H
#define WEFT_TEXT_ENCODER_H

#include "engine/formats/weights.h"
#include "engine/residency/host.h"
#include "engine/sampling/cond.h"

/* Immutable and shared by reference; its first member is a Ref. */
typedef struct TextEncoder TextEncoder;

/* A model file of the text_encoders folder. path NULL: the file is missing, which a dummy run
 * allows; the dimensions are then those of the published model that the name tells. */
typedef struct TextFile {
    const char *name, *path;
} TextFile;

/*
 * Opens the encoders of a loader node: CLIPLoader and CLIPLoaderGGUF with one file,
 * DualCLIPLoader with two in any order. type: the node's menu entry ("flux", "flux2"), or NULL.
 * Known networks: Qwen3 (FLUX.2 klein), Mistral-3 (FLUX.2 dev), T5 and CLIP-L (FLUX.1). A
 * tokenizer file `<stem>.tokenizer.json` beside a Qwen3 file takes the place of the built-in
 * one.
 * Errors: E_UNSUPPORTED (no known network, or one that does not go with the type), E_MISSING,
 * E_SHAPE, what weights_open gives.
 */
Status text_encoder_open(Host *h, const TextFile *files, int count, const char *type,
                         TextEncoder **out, Error *err);

/* The encoders inside a checkpoint with everything in one file; file names it in events.
 * Errors: as above, E_MISSING when it holds none. */
Status text_encoder_from_checkpoint(Host *h, const Weights *checkpoint, const char *file,
                                    TextEncoder **out, Error *err);

static inline TextEncoder *text_encoder_ref(const TextEncoder *e)
{
    return ref_take(e);
}
static inline void text_encoder_unref(const TextEncoder *e)
{
    ref_drop(e);
}

/* What of a LoRA file text encoders use. */
typedef struct TextLoraReport {
    int matched;          /* keys that name a tensor of one of the networks */
    int misfits;          /* changes left out because their shape is another */
    char misfit_key[128]; /* the first of them */
} TextLoraReport;

/* A copy that shares the weights, with the changes of a LoRA file on top of those before it; they are
 * merged in float32 when a prompt is encoded. Keys for other models are passed over. Errors:
 * E_UNSUPPORTED, E_MISSING (half of a pair), E_SHAPE, E_NOMEM. */
Status text_encoder_with_lora(const TextEncoder *e, Host *h, const Weights *file,
                              double strength, TextEncoder **out, TextLoraReport *report,
                              Error *err);

/* CLIPSetLastLayer: a copy whose states come out of block `layer` (-1 the last, -2 the one before, ...).
 * Errors: E_UNSUPPORTED (FLUX.2; CLIP-L alone), E_NOMEM. */
Status text_encoder_with_last(const TextEncoder *e, Host *h, int layer, TextEncoder **out,
                              Error *err);

/* Embeds a prompt: embed [1, T, C], and for FLUX.1 pooled [1, P] from CLIP-L. `embedding:name`
 * is looked up in the embeddings folders; one that is missing is told as EV_NOTE. Text of a
 * prompt is UTF-8; what is not is read as U+FFFD. Errors: E_CANCELLED, E_NOMEM, device errors.
 */
Status text_encode(const TextEncoder *e, Host *h, const char *text, Cond **out, Error *err);

/* CLIPTextEncodeFlux: separate texts for the two encoders of FLUX.1. Errors: also E_UNSUPPORTED
 * for other encoders. */
Status text_encode_flux(const TextEncoder *e, Host *h, const char *clip_l, const char *t5xxl,
                        Cond **out, Error *err);

/* Number of tokens as laid out for the network whose states become the embedding. */
Status text_count_tokens(const TextEncoder *e, Host *h, const char *text, int64_t *out,
                         Error *err);

/* "Qwen3 4B", "CLIP-L + T5"; for plan and messages. Borrowed from e. */
const char *text_encoder_name(const TextEncoder *e);
/* Bytes of weights that encoding touches, and the width C of an embedding. */
int64_t text_encoder_bytes(const TextEncoder *e);
int64_t text_encoder_width(const TextEncoder *e);

/* FLOPs of encoding `tokens` tokens with the network whose states become the embedding. */
Status text_encoder_flops(const TextEncoder *e, Host *h, int64_t tokens, double *out,
                          Error *err);

#endif
