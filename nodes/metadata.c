/* metadata.c - what is written into files: the workflow, as keys and JSON texts. */
#include "nodes/metadata.h"

#include <string.h>

#include "engine/residency/host.h"

static Status add_made(Metadata *m, const char *key, const Json *value, Error *err)
{
    Str *text = &m->made[m->count];
    json_write(text, value);
    if (text->failed) return error_set(err, E_NOMEM, "no memory for a file's metadata");
    m->keys[m->count] = key;
    m->texts[m->count++] = text->text;
    return OK;
}

Status metadata_init(Metadata *m, NodeCall *call, const char *prompt, const char *extra_pnginfo)
{
    if (!host_options(call->host)->metadata) return OK;
    if (prompt) {
        m->keys[m->count] = "prompt";
        m->texts[m->count++] = prompt;
    }
    if (!extra_pnginfo) return OK;
    TRY(json_parse(extra_pnginfo, strlen(extra_pnginfo), &m->doc, call->err));
    for (const Json *item = json_first(json_root(m->doc)); item && m->count < METADATA_MAX;
         item = json_next(item))
        TRY(add_made(m, json_key(item), item, call->err));
    return OK;
}

void metadata_fini(Metadata *m)
{
    for (size_t i = 0; i < METADATA_MAX; i++)
        str_fini(&m->made[i]);
    json_free(m->doc);
    memset(m, 0, sizeof *m);
}
