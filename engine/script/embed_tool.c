/* embed_tool.c - run at build: writes the files it is given as a C table (embedded.h). */
#include <stdio.h>
#include <string.h>

/* The path from the last "lua/" folder on. */
static const char *short_path(const char *path)
{
    const char *at = path, *found = NULL;
    while ((at = strstr(at, "/lua/")))
        found = ++at;
    return found ? found : path;
}

/* Writes one file as a byte array; its size, or -1. */
static long write_bytes(FILE *out, const char *path, int number)
{
    FILE *in = fopen(path, "rb");
    long n = 0;
    int c;

    if (!in) return -1;
    fprintf(out, "static const char text_%d[] = {", number);
    while ((c = fgetc(in)) != EOF)
        fprintf(out, "%s%d,", n++ % 24 ? "" : "\n", c > 127 ? c - 256 : c);
    fprintf(out, "0 };\n");
    fclose(in);
    return n;
}

int main(int argc, char **argv)
{
    long sizes[256];
    FILE *out = argc > 1 && argc < 258 ? fopen(argv[1], "wb") : NULL;

    if (!out) return 1;
    fprintf(out, "/* made from lua/ at build */\n#include \"engine/script/embedded.h\"\n");
    for (int i = 2; i < argc; i++) {
        sizes[i - 2] = write_bytes(out, argv[i], i - 2);
        if (sizes[i - 2] < 0) return 1;
    }
    fprintf(out, "const EmbeddedScript script_embedded[] = {\n");
    for (int i = 2; i < argc; i++)
        fprintf(out, "{ \"%s\", text_%d, %ld },\n", short_path(argv[i]), i - 2, sizes[i - 2]);
    fprintf(out, "};\nconst size_t script_embedded_count = %d;\n", argc - 2);
    return fclose(out) != 0;
}
