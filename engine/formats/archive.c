/* archive.c - entries of a zip archive that are stored as they are.
 *
 * Source: PKWARE's APPNOTE (end of central directory, central directory header, local header, zip64 extra field).
 */
#include "engine/formats/archive.h"

#include <stdbool.h>
#include <string.h>

enum {
    END_SIZE = 22,
    COMMENT_MAX = 65535,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    ZIP64_ID = 1
};

static uint64_t get(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static Status broken(Error *err, size_t at, const char *what)
{
    error_set(err, E_FORMAT, "the archive is broken: %s", what);
    if (err) err->offset = (int64_t)at;
    return E_FORMAT;
}

/* The record in front of the end record that large archives have; keeps the plain values when there is none. */
static void read_end64(const uint8_t *bytes, size_t size, size_t end, uint64_t *directory,
                       uint64_t *entries)
{
    if (end < LOCATOR_SIZE || get(bytes + end - LOCATOR_SIZE, 4) != 0x07064b50) return;
    uint64_t at = get(bytes + end - LOCATOR_SIZE + 8, 8);
    if (at > size || size - at < END64_SIZE || get(bytes + at, 4) != 0x06064b50) return;
    *entries = get(bytes + at + 32, 8);
    *directory = get(bytes + at + 48, 8);
}

Status archive_open(const uint8_t *bytes, size_t size, Archive *out, Error *err)
{
    size_t lowest = size > END_SIZE + COMMENT_MAX ? size - END_SIZE - COMMENT_MAX : 0;
    if (size < END_SIZE) return broken(err, 0, "it is cut off");
    for (size_t end = size - END_SIZE;; end--) {
        if (get(bytes + end, 4) == 0x06054b50) {
            uint64_t entries = get(bytes + end + 10, 2), directory = get(bytes + end + 16, 4);
            if (entries == 0xFFFF || directory == 0xFFFFFFFF)
                read_end64(bytes, size, end, &directory, &entries);
            if (directory > size) return broken(err, end, "its directory lies outside");
            *out = (Archive){ bytes, size, (size_t)directory, (size_t)entries };
            return OK;
        }
        if (end == lowest) return broken(err, size, "it has no directory; is it cut off?");
    }
}

/* One row of the directory. */
typedef struct Row {
    const char *name;
    size_t name_length;
    unsigned method;
    uint64_t size, stored, local;
    size_t next; /* where the row after it lies */
} Row;

/* Values that do not fit in the row stand in its zip64 field, in this order. */
static void read_zip64(const uint8_t *extra, size_t n, Row *row)
{
    while (n >= 4) {
        size_t length = (size_t)get(extra + 2, 2), at = 4;
        if (length > n - 4) return;
        uint64_t *const values[] = { &row->size, &row->stored, &row->local };
        for (int i = 0; get(extra, 2) == ZIP64_ID && i < 3; i++) {
            if (*values[i] != 0xFFFFFFFF || at + 8 > length + 4) continue;
            *values[i] = get(extra + at, 8);
            at += 8;
        }
        extra += length + 4;
        n -= length + 4;
    }
}

static bool read_row(const Archive *a, size_t at, Row *row)
{
    const uint8_t *p = a->bytes + at;
    if (at > a->size || a->size - at < ENTRY_SIZE || get(p, 4) != 0x02014b50) return false;
    size_t name = (size_t)get(p + 28, 2), extra = (size_t)get(p + 30, 2),
           comment = (size_t)get(p + 32, 2);
    if (name + extra + comment > a->size - at - ENTRY_SIZE) return false;
    *row = (Row){ .name = (const char *)p + ENTRY_SIZE,
                  .name_length = name,
                  .method = (unsigned)get(p + 10, 2),
                  .stored = get(p + 20, 4),
                  .size = get(p + 24, 4),
                  .local = get(p + 42, 4),
                  .next = at + ENTRY_SIZE + name + extra + comment };
    read_zip64(p + ENTRY_SIZE + name, extra, row);
    return true;
}

static Status data_of(const Archive *a, const Row *row, const uint8_t **data, size_t *size,
                      Error *err)
{
    if (row->method != 0) {
        error_set(err, E_UNSUPPORTED, "'%.*s' in the archive is compressed",
                  (int)(row->name_length < 80 ? row->name_length : 80), row->name);
        error_fix(err, "convert the file to .safetensors");
        return E_UNSUPPORTED;
    }
    if (row->local > a->size || a->size - row->local < LOCAL_SIZE)
        return broken(err, a->directory, "an entry lies outside");
    const uint8_t *p = a->bytes + row->local;
    uint64_t skip = LOCAL_SIZE + get(p + 26, 2) + get(p + 28, 2);
    if (get(p, 4) != 0x04034b50 || skip > a->size - row->local ||
        row->size > a->size - row->local - skip)
        return broken(err, (size_t)row->local, "an entry lies outside");
    *data = p + skip;
    *size = (size_t)row->size;
    return OK;
}

Status archive_find(const Archive *a, const char *name, const uint8_t **data, size_t *size,
                    Error *err)
{
    Row row;
    size_t n = strlen(name);
    for (size_t i = 0, at = a->directory; i < a->entries && read_row(a, at, &row); i++) {
        if (row.name_length == n && memcmp(row.name, name, n) == 0)
            return data_of(a, &row, data, size, err);
        at = row.next;
    }
    return error_set(err, E_MISSING, "the archive has no entry '%.120s'", name);
}

Status archive_find_end(const Archive *a, const char *suffix, char *folder, size_t folder_size,
                        const uint8_t **data, size_t *size, Error *err)
{
    Row row;
    size_t n = strlen(suffix);
    for (size_t i = 0, at = a->directory; i < a->entries && read_row(a, at, &row); i++) {
        size_t rest = row.name_length - n + 1;
        if (row.name_length >= n && rest < folder_size &&
            memcmp(row.name + row.name_length - n, suffix, n) == 0) {
            memcpy(folder, row.name, rest);
            folder[rest] = 0;
            return data_of(a, &row, data, size, err);
        }
        at = row.next;
    }
    return error_set(err, E_MISSING, "the archive has no entry that ends in '%.80s'", suffix);
}
