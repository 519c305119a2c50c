/* prompt_rules.h - how each published encoder wants its prompts. */
#ifndef WEFT_TEXT_PROMPT_RULES_H
#define WEFT_TEXT_PROMPT_RULES_H

#include "engine/text/prompt.h"

extern const PromptRules prompt_rules_klein;    /* Qwen3, FLUX.2 klein */
extern const PromptRules prompt_rules_clip;     /* CLIP-L, FLUX.1 */
extern const PromptRules prompt_rules_t5;       /* T5-XXL, FLUX.1 */
extern const PromptRules prompt_rules_mistral3; /* Mistral-3, FLUX.2 dev */

#endif
