/* fuzz_lua.c - scripts: loading, the contract, and a dry run on toy tensors under small limits. */
#include "tests/fuzz/fuzz.h"

#include "engine/script/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ScriptLimits limits = { .memory = 8 << 20, .budget = 300000, .seconds = 5 };
    Script *s = NULL;
    Error err = { 0 };
    bool ran = false;

    if (script_load("fuzz.lua", (const char *)data, size, &limits, &s, &err) == OK) {
        (void)script_dry_run(s, &ran, &err);
        ref_drop(s);
    }
    return 0;
}
