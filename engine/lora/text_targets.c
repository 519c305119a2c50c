/* text_targets.c - which matrix of a text encoder the key prefix of a LoRA file means. */
#include "engine/lora/text_targets.h"

#include <string.h>

#include "engine/base/str.h"

enum { ON_CLIP = 1, ON_ALONE = 2, ON_SECOND = 4, ON_OTHER = ON_ALONE | ON_SECOND };

/* clang-format off */
/* before: what stands before the name; flat: its dots are underscores; named: "%s" is the encoder's name. */
static const struct Spelling {
    const char *before, *behind;
    bool flat, named;
    int on;
} spellings[] = {
    { "text_encoders.", ".transformer.", false, true, ON_CLIP | ON_OTHER },
    { "", ".transformer.", false, true, ON_CLIP | ON_OTHER },
    { "", ".", false, true, ON_CLIP | ON_OTHER },
    { "text_encoders.transformer.", "", false, false, ON_OTHER },
    { "base_model.model.", "", false, false, ON_CLIP | ON_OTHER },
    { "", "", false, false, ON_CLIP | ON_OTHER },
    { "lora_te_", "", true, false, ON_CLIP | ON_ALONE },
    { "lora_te1_", "", true, false, ON_CLIP | ON_ALONE },
    { "text_encoder.", "", false, false, ON_CLIP | ON_ALONE },
    { "lora_te2_", "", true, false, ON_SECOND },
    { "lora_te3_", "", true, false, ON_SECOND },
    { "text_encoder_2.", "", false, false, ON_SECOND },
};
/* clang-format on */

bool lora_is_text_key(const char *key)
{
    static const char *const starts[] = {
        "lora_te",        "text_encoder",
        "clip_l.",        "t5xxl.",
        "qwen3_",         "mistral3_",
        "text_model.",    "base_model.model.text_model.",
        "encoder.block.", "base_model.model.encoder.block.",
        "model.layers.",  "base_model.model.model.layers.",
    };

    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (str_starts_with(key, starts[i])) return true;
    return false;
}

static void flatten(char *text)
{
    for (; *text; text++)
        if (*text == '.') *text = '_';
}

static Status add(LoraTargets *t, const struct Spelling *s, const LoraTextPart *part,
                  const char *name, const LoraTarget *target, Error *err)
{
    LoraTarget *copy = arena_alloc(t->arena, sizeof *copy);
    char *key = arena_printf(t->arena, "%s%s%s%s", s->before, s->named ? part->key : "",
                             s->behind, name);

    if (!copy || !key) return error_set(err, E_NOMEM, "out of memory");
    *copy = *target;
    if (s->flat) flatten(key);
    if (!map_put(&t->map, key, copy)) return error_set(err, E_NOMEM, "out of memory");
    return OK;
}

static Status add_tensor(LoraTargets *t, const LoraTextPart *part, const char *name, Error *err)
{
    static const char ending[] = ".weight";
    LoraTarget target = { .tensor = arena_strdup(t->arena, name) };
    char *stem = arena_strdup(t->arena, name);
    int on = part->clip ? ON_CLIP : part->alone ? ON_ALONE : ON_SECOND;

    if (!target.tensor || !stem) return error_set(err, E_NOMEM, "out of memory");
    if (str_ends_with(name, ending)) stem[strlen(stem) - strlen(ending)] = 0;
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        target.order = (int)i;
        if (spellings[i].on & on) TRY(add(t, &spellings[i], part, stem, &target, err));
    }
    return OK;
}

Status lora_text_targets_init(LoraTargets *t, const Weights *base, const LoraTextPart *part,
                              Error *err)
{
    t->arena = arena_new();
    if (!t->arena) return error_set(err, E_NOMEM, "out of memory");
    for (size_t i = 0; i < weights_count(base); i++) {
        const char *name = weights_name(base, i);
        if (weights_dim(base, name, 0) < 1) continue;
        TRY(add_tensor(t, part, name, err));
    }
    return OK;
}
