/* saved.c - what every saving node says of the file that it wrote. */
#include "nodes/saved.h"

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

void saved_report(NodeCall *call, const char *key, const char *path, const char *file,
                  const char *subfolder, const char *type)
{
    Str *ui = call->ui;
    if (!host_dummy(call->host))
        events_emit(call->events, &(Event){ .kind = EV_SAVED,
                                            .node = call->id,
                                            .class_type = call->def->class_type,
                                            .path = path });
    if (!ui) return;
    if (ui->length > 2 && strcmp(ui->text + ui->length - 2, "]}") == 0) {
        ui->length -= 2;
        ui->text[ui->length] = 0;
        str_add(ui, ", ");
    } else {
        str_printf(ui, "{\"%s\": [", key);
    }
    write_entry(ui, file, subfolder, type);
    str_add(ui, "]}");
}
