/* lora.h - a LoRA file resolved against one model: which matrices it changes, and the changed matrices.
 *
 * Reads kohya's, PEFT's, diffusers', LyCORIS' and OneTrainer's key names; low-rank products, LoHa, LoKr,
 * each with DoRA; full differences and replaced tensors; BFL's control LoRAs and USO's names. Everything is
 * computed in float32 on a float32 copy of the matrix. Not thread-safe.
 * Sources: "LoRA: Low-Rank Adaptation of Large Language Models"; "FedPara" (LoHa); "DoRA: Weight-Decomposed
 * Low-Rank Adaptation"; "Navigating Text-To-Image Customization" (LyCORIS); docs/formats/lora.md.
 */
#ifndef WEFT_LORA_LORA_H
#define WEFT_LORA_LORA_H

#include "engine/formats/weights.h"

typedef struct Lora Lora;

/* What of the file is used. */
typedef struct LoraReport {
    int changes;   /* changes of this model's tensors; 0 = the file does nothing here */
    int matched;   /* keys that name something in this model */
    int text_keys; /* of a transformer: keys for text encoders */
    int unmatched; /* other keys that name nothing in this model */
    int misfits;   /* changes left out because their shape is another */
    char unmatched_key[128]; /* the first of each */
    char misfit_key[128];
} LoraReport;

/* file: an opened LoRA; base: the model's table in BFL's names without prefix; both are referenced. With
 * `exact` merged matrices are float32; without, 16-bit ones stay as they are and quantised ones become
 * BF16. A dummy table of either kind gives matrices without data. A file of which nothing fits opens with 0
 * changes. Errors: E_UNSUPPORTED (a format that is not computed here; names the key), E_MISSING (half of a
 * pair; names the key), E_SHAPE, E_NOMEM. */
Status lora_open(const Weights *file, const Weights *base, bool exact, Lora **out, Error *err);

/* One network of a text encoder. */
typedef struct LoraTextPart {
    const char *key; /* its name in ComfyUI: clip_l, t5xxl, qwen3_4b, qwen3_8b, mistral3_24b */
    bool clip;       /* it is CLIP-L */
    bool alone;      /* no CLIP-L stands before it */
    int64_t
        head; /* rows of a head when those of q and k stand in llama.cpp's pairs; 0 = they do not */
} LoraTextPart;

/* The same for the network of a text encoder; base is in transformers' names without prefix. */
Status lora_open_text(const Weights *file, const Weights *base, const LoraTextPart *part,
                      bool exact, Lora **out, Error *err);
void lora_free(Lora *l);

const LoraReport *lora_report(const Lora *l);
const Weights *lora_file(const Lora *l); /* borrowed */

/* On a quantised matrix (FP8, GGUF blocks, NF4, int8 ...) plain low-rank changes are kept beside it (KWeight.side);
 * all others, and those on wide matrices, make a merged copy.
 * Replaces *w, the matrix `name` of the model after earlier changes, by the merged one, which lives as long
 * as l; leaves it when the file does not change it. A vector is a matrix of one row. strength is the
 * loader's; a change of W is strength * alpha / rank * delta. Errors: E_UNSUPPORTED (DoRA by columns over a
 * matrix in parts; undecodable weights), E_SHAPE, E_NOMEM. */
Status lora_apply(Lora *l, const char *name, double strength, KWeight *w, Error *err);

/* Bytes of merged matrices that are held (without data too), and giving them up; the next program that asks
 * has them merged again. Nothing may use them any more. */
int64_t lora_held(const Lora *l);
void lora_forget(Lora *l);

#endif
