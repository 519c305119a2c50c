/* file_keep.c - what caches on disk need of files: identity, last use, a bound on a folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/base/str.h"

enum { ENDS = 64 << 10, BLOCK = 4 << 10, BLOCKS = 32 };

void file_touch(const char *path)
{
    utimensat(AT_FDCWD, path, NULL, 0);
}

/* ---- a bound on a folder ----------------------------------------------------------------------- */

typedef struct Kept {
    char *path; /* owned */
    int64_t size;
    struct timespec used;
} Kept;

typedef struct KeptList {
    Kept *items; /* owned */
    size_t count, capacity;
    int64_t bytes;
} KeptList;

static int compare_used(const void *a, const void *b)
{
    const Kept *x = a, *y = b;

    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

/* Takes path over. */
static void add_kept(KeptList *list, char *path)
{
    struct stat st;

    if (!path || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        mem_free(path);
        return;
    }
    if (list->count == list->capacity) {
        size_t more = list->capacity ? 2 * list->capacity : 64;
        Kept *items = mem_realloc(list->items, more * sizeof *items);
        if (!items) {
            mem_free(path);
            return;
        }
        list->items = items;
        list->capacity = more;
    }
    list->items[list->count++] = (Kept){ path, st.st_size, st.st_mtim };
    list->bytes += st.st_size;
}

void file_trim_folder(const char *folder, const char *suffix, int64_t limit)
{
    DIR *dir = opendir(folder);
    KeptList list = { 0 };

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        if (str_ends_with(e->d_name, suffix)) add_kept(&list, file_join(folder, e->d_name));
    if (dir) closedir(dir);
    if (list.count) qsort(list.items, list.count, sizeof *list.items, compare_used);
    for (size_t i = 0; i < list.count && list.bytes > limit; i++)
        if (unlink(list.items[i].path) == 0) list.bytes -= list.items[i].size;
    for (size_t i = 0; i < list.count; i++)
        mem_free(list.items[i].path);
    mem_free(list.items);
}

/* ---- identity ---------------------------------------------------------------------------------- */

/* Adds up to n bytes at an offset. */
static bool add_bytes(Sha256 *h, int fd, int64_t offset, size_t n, uint8_t *buffer)
{
    ssize_t got;

    do
        got = pread(fd, buffer, n, (off_t)offset);
    while (got < 0 && errno == EINTR);
    if (got < 0) return false;
    sha256_add(h, buffer, (size_t)got);
    return true;
}

static bool add_samples(Sha256 *h, int fd, int64_t size, uint8_t *buffer)
{
    int64_t last = size > ENDS ? size - ENDS : 0;

    if (!add_bytes(h, fd, 0, ENDS, buffer) || !add_bytes(h, fd, last, ENDS, buffer))
        return false;
    for (int64_t i = 1; i < BLOCKS && size > 2 * ENDS; i++)
        if (!add_bytes(h, fd, size / BLOCKS * i, BLOCK, buffer)) return false;
    return true;
}

Status file_identity(const char *path, uint8_t digest[32], Error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *buffer = mem_alloc(ENDS);
    struct stat st;
    Sha256 h;
    bool good = fd >= 0 && buffer && fstat(fd, &st) == 0;

    if (good) {
        int64_t facts[3] = { st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
        sha256_init(&h);
        sha256_add(&h, facts, sizeof facts);
        good = add_samples(&h, fd, st.st_size, buffer);
        sha256_end(&h, digest);
    }
    if (fd >= 0) close(fd);
    mem_free(buffer);
    if (good) return OK;
    error_set(err, E_IO, "cannot read %s", path);
    error_at_file(err, path, -1);
    return E_IO;
}
