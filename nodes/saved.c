/* saved.c - what every saving node says of the file that it wrote. */
#include "nodes/saved.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/residency/host.h"

static void write_entry(Str *ui, const char *file, const char *subfolder, const char *type)
{
    str_add(ui, "{\"filename\": ");
    json_write_string(ui, file, strlen(file));
    str_add(ui, ", \"subfolder\": ");
    json_write_string(ui, subfolder, strlen(subfolder));
    str_add(ui, ", \"type\": ");
    json_write_string(ui, type, strlen(type));
    str_add(ui, "}");
}

/* Reopens the last list of the record; false when it is of another key or there is none. */
static bool reopen(Str *ui, const char *key)
{
    char head[48];
    snprintf(head, sizeof head, "\"%s\": [", key);
    if (!ui->text || !strstr(ui->text, head)) return false;
    ui->length -= 2; /* "]}" */
    ui->text[ui->length] = 0;
    if (ui->text[ui->length - 1] != '[') str_add(ui, ", ");
    return true;
}

static void open_list(Str *ui, const char *key)
{
    if (ui->length) {
        ui->text[--ui->length] = 0; /* "}" */
        str_printf(ui, ", \"%s\": [", key);
    } else {
        str_printf(ui, "{\"%s\": [", key);
    }
}

void saved_begin(NodeCall *call, const char *key)
{
    if (!call->ui || call->ui->failed) return;
    open_list(call->ui, key);
    str_add(call->ui, "]}");
}

void saved_report(NodeCall *call, const char *key, const char *path, const char *file,
                  const char *subfolder, const char *type)
{
    Str *ui = call->ui;
    if (!host_dummy(call->host))
        events_emit(call->events, &(Event){ .kind = EV_SAVED,
                                            .node = call->id,
                                            .class_type = call->def->class_type,
                                            .path = path });
    if (!ui || ui->failed) return;
    if (!reopen(ui, key)) open_list(ui, key);
    write_entry(ui, file, subfolder, type);
    str_add(ui, "]}");
}
