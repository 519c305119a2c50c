/* prompt_rules.c - how each published encoder wants its prompts. */
#include "engine/text/prompt_rules.h"

const PromptRules prompt_rules_klein = {
    .start = -1,
    .end = -1,
    .pad = 151643,
    .min_length = 512,
    .template =
        "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
};

const PromptRules prompt_rules_clip = {
    .start = 49406,
    .end = 49407,
    .pad = 49407,
    .max_length = 77,
    .pad_to_max = true,
    .weights = true,
    .end_text = "<|endoftext|>",
};

const PromptRules prompt_rules_t5 = {
    .start = -1,
    .end = 1,
    .pad = 0,
    .min_length = 256,
    .weights = true,
    .end_text = "</s>",
};

const PromptRules prompt_rules_mistral3 = {
    .start = 1,
    .end = -1,
    .pad = 11,
    .min_length = 1,
    .pad_left = true,
    .template =
        "[SYSTEM_PROMPT]You are an AI that reasons about image descriptions. You give "
        "structured "
        "responses focusing on object relationships, object\nattribution and actions without "
        "speculation.[/SYSTEM_PROMPT][INST]{}[/INST]",
};
