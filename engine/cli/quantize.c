/* quantize.c - `weft quantize`: a model file again, smaller, and what each matrix lost by it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/str.h"
#include "engine/cli/commands.h"
#include "engine/formats/quantize.h"

static void show_progress(void *user, int done, int total)
{
    (void)user;
    fprintf(stderr, "\r\033[K%d of %d matrices%s", done, total,
            done == total ? "\r\033[K" : "");
    fflush(stderr);
}

static void print_text(const CliArgs *args, const QuantizeReport *r)
{
    int width = 4;

    for (int i = 0; i < r->count; i++) {
        int n = snprintf(NULL, 0, "%s", r->layers[i].name);
        if (n > width) width = n;
    }
    printf("%-*s  %-22s %12s %12s\n", width, "name", "bytes", "relative", "largest");
    for (int i = 0; i < r->count; i++) {
        const QuantizeLayer *l = &r->layers[i];
        char bytes[48];
        snprintf(bytes, sizeof bytes, "%lld -> %lld", (long long)l->bytes_from,
                 (long long)l->bytes_to);
        printf("%-*s  %-22s %12.4g %12.4g  %s\n", width, l->name, bytes, l->relative,
               l->max_error, l->to);
    }
    printf("%s: %d matrices, %d tensors kept, %lld -> %lld bytes, relative error %.4g\n",
           args->files.items[1], r->count, r->kept, (long long)r->bytes_from,
           (long long)r->bytes_to, r->relative);
}

static void add_text(Str *s, const char *key, const char *text)
{
    str_printf(s, "\"%s\": ", key);
    json_write_string(s, text, strlen(text));
}

static void add_number(Str *s, const char *key, double v)
{
    str_printf(s, ", \"%s\": ", key);
    json_write_double(s, v);
}

static void add_layer(Str *s, const QuantizeLayer *l)
{
    str_add_char(s, '{');
    add_text(s, "name", l->name);
    str_add(s, ", ");
    add_text(s, "from", l->from);
    str_add(s, ", ");
    add_text(s, "to", l->to);
    str_printf(s, ", \"shape\": [%lld, %lld], \"bytes_from\": %lld, \"bytes_to\": %lld",
               (long long)l->n, (long long)l->k, (long long)l->bytes_from,
               (long long)l->bytes_to);
    add_number(s, "relative_error", l->relative);
    add_number(s, "max_error", l->max_error);
    str_add_char(s, '}');
}

static Status print_json(const CliArgs *args, const QuantizeReport *r, Error *err)
{
    Str s = { 0 };

    str_add_char(&s, '{');
    add_text(&s, "out", args->files.items[1]);
    str_add(&s, ", \"layers\": [");
    for (int i = 0; i < r->count; i++) {
        if (i) str_add(&s, ", ");
        add_layer(&s, &r->layers[i]);
    }
    str_printf(&s, "], \"kept\": %d, \"bytes_from\": %lld, \"bytes_to\": %lld", r->kept,
               (long long)r->bytes_from, (long long)r->bytes_to);
    add_number(&s, "relative_error", r->relative);
    str_add(&s, "}\n");
    bool good = !s.failed && fputs(s.text, stdout) >= 0 && fflush(stdout) == 0;
    str_fini(&s);
    return good ? OK : error_set(err, E_IO, "standard output cannot be written");
}

int cmd_quantize(const CliArgs *args)
{
    Events events = { 0 };
    QuantizeReport report = { 0 };
    Error err = { 0 };
    QuantizeOptions options = { .type = args->type,
                                .keep = args->keep.items,
                                .overwrite = args->force,
                                .events = &events };

    if (args->files.count != 2) {
        fputs("weft quantize: takes a model file and the file to write; try `weft quantize "
              "model.safetensors model-int8.safetensors --type int8`\n",
              stderr);
        return 2;
    }
    if (isatty(STDERR_FILENO)) options.progress = show_progress;
    cli_catch_signals(&events);
    Status status =
        quantize_file(args->files.items[0], args->files.items[1], &options, &report, &err);
    if (status == OK && args->json) status = print_json(args, &report, &err);
    if (status == OK && !args->json) print_text(args, &report);
    quantize_report_fini(&report);
    cli_catch_signals(NULL);
    if (status == OK) return 0;
    cli_print_error(&err);
    return status == E_IO && !file_exists(args->files.items[0]) ? 2 : cli_exit_code(status);
}
