/* file.c - files: mapped or read whole, written under a temporary name and renamed. */
#include "engine/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"

static Status io_error(Error *err, const char *path, const char *what)
{
    int code = errno;
    Status s = code == ENOMEM ? E_NOMEM : E_IO;

    error_set(err, s, "cannot %s %s: %s", what, path, strerror(code));
    error_at_file(err, path, -1);
    return s;
}

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- mapping ---------------------------------------------------------------------------------- */

static void destroy_map(void *object)
{
    FileMap *map = object;

    if (map->data && !map->borrowed) munmap((void *)(uintptr_t)map->data, map->size);
    mem_free(map->path);
    mem_free(map);
}

/* Opens a regular file for reading and tells its size; *fd stays -1 on failure. */
static Status open_regular(const char *path, int *fd, size_t *size, Error *err)
{
    struct stat st;
    int f = open(path, O_RDONLY | O_CLOEXEC);
    Status status = OK;

    if (f < 0) return io_error(err, path, "open");
    if (fstat(f, &st) != 0) {
        status = io_error(err, path, "look at");
    } else if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        status = io_error(err, path, "read");
    }
    if (status != OK) {
        close(f);
        return status;
    }
    *fd = f;
    *size = (size_t)st.st_size;
    return OK;
}

Status file_map(const char *path, FileMap **out, Error *err)
{
    FileMap *map = mem_calloc(1, sizeof *map);
    int fd = -1;
    void *data;
    Status status = OK;

    if (!map) return no_memory(err);
    ref_init(&map->ref, destroy_map);
    map->path = mem_strdup(path);
    if (!map->path) {
        status = no_memory(err);
        goto done;
    }
    TRY_DONE(open_regular(path, &fd, &map->size, err));
    if (map->size > 0) {
        data = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = io_error(err, path, "map");
            goto done;
        }
        map->data = data;
    }
    *out = map;
    map = NULL;
done:
    if (fd >= 0) close(fd);
    ref_drop(map);
    return status;
}

Status file_map_bytes(const char *path, const void *bytes, size_t size, FileMap **out, Error *err)
{
    FileMap *map = mem_calloc(1, sizeof *map);

    if (!map) return no_memory(err);
    ref_init(&map->ref, destroy_map);
    map->path = mem_strdup(path);
    if (!map->path) {
        ref_drop(map);
        return no_memory(err);
    }
    map->data = size ? bytes : NULL;
    map->size = size;
    map->borrowed = true;
    *out = map;
    return OK;
}

void file_map_release(const FileMap *map)
{
    if (map && map->data && !map->borrowed) madvise((void *)(uintptr_t)map->data, map->size, MADV_DONTNEED);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static Status too_large(Error *err, const char *path, size_t limit)
{
    error_set(err, E_LIMIT, "%s holds more than the %zu bytes that are read", path, limit);
    error_at_file(err, path, -1);
    return E_LIMIT;
}

static Status read_all(int fd, const char *path, size_t limit, Str *text, Error *err)
{
    char chunk[1 << 14];

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(err, path, "read");
        if (n == 0) return OK;
        if ((size_t)n > limit - text->length) return too_large(err, path, limit);
        str_add_n(text, chunk, (size_t)n);
        if (text->failed) return no_memory(err);
    }
}

Status file_read(const char *path, size_t limit, char **out, size_t *size, Error *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = STDIN_FILENO;
    size_t known = 0, length;
    Str text = { 0 };
    char *taken;
    Status status;

    if (!standard) TRY(open_regular(path, &fd, &known, err));
    status =
        known > limit ? too_large(err, path, limit) : read_all(fd, path, limit, &text, err);
    if (!standard) close(fd);
    length = text.length;
    taken = status == OK ? str_take(&text) : NULL;
    str_fini(&text);
    if (status != OK) return status;
    if (!taken) return no_memory(err);
    *out = taken;
    *size = length;
    return OK;
}

/* ---- writing ---------------------------------------------------------------------------------- */

enum { MAX_TEMPORARY = 10000 };

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Makes a new file beside `path`; its name comes back in *name (mem_free). */
static Status open_temporary(const char *path, char **name, int *fd, Error *err)
{
    for (int i = 0; i < MAX_TEMPORARY; i++) {
        Str s = { 0 };
        char *candidate;
        int f;

        str_add_n(&s, path, folder_length(path));
        str_printf(&s, ".weft-%ld-%d.tmp", (long)getpid(), i);
        candidate = str_take(&s);
        if (!candidate) return no_memory(err);
        f = open(candidate, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f >= 0) {
            *name = candidate;
            *fd = f;
            return OK;
        }
        mem_free(candidate);
        if (errno != EEXIST) break;
    }
    return io_error(err, path, "write");
}

static Status write_all(int fd, const char *path, const void *data, size_t size, Error *err)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = write(fd, p, size > (1u << 30) ? 1u << 30 : size);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(err, path, "write");
        p += n;
        size -= (size_t)n;
    }
    return fsync(fd) == 0 || errno == EINVAL ? OK : io_error(err, path, "write");
}

/* After a rename the folder's entry is made durable too; failing here loses nothing readable. */
static void sync_folder(const char *path)
{
    size_t n = folder_length(path);
    char *folder = n ? mem_strndup(path, n) : mem_strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    mem_free(folder);
}

Status file_write(const char *path, const void *data, size_t size, Error *err)
{
    char *temporary = NULL;
    int fd = -1;
    Status status = open_temporary(path, &temporary, &fd, err);

    if (status != OK) return status;
    status = write_all(fd, path, data, size, err);
    if (close(fd) != 0 && status == OK) status = io_error(err, path, "write");
    if (status == OK && rename(temporary, path) != 0) status = io_error(err, path, "write");
    if (status == OK)
        sync_folder(path);
    else
        unlink(temporary);
    mem_free(temporary);
    return status;
}

/* ---- writing piece by piece --------------------------------------------------------------------- */

struct FileWriter {
    char *path, *temporary; /* owned */
    int fd;
};

Status file_writer_open(const char *path, FileWriter **out, Error *err)
{
    FileWriter *w = mem_calloc(1, sizeof *w);
    Status status;

    if (!w) return no_memory(err);
    w->fd = -1;
    w->path = mem_strdup(path);
    status = w->path ? open_temporary(path, &w->temporary, &w->fd, err) : no_memory(err);
    if (status == OK)
        *out = w;
    else
        file_writer_close(w);
    return status;
}

Status file_writer_put(FileWriter *w, uint64_t offset, const void *data, size_t size, Error *err)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = pwrite(w->fd, p, size > (1u << 30) ? 1u << 30 : size, (off_t)offset);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return io_error(err, w->path, "write");
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return OK;
}

Status file_writer_commit(FileWriter *w, Error *err)
{
    if (fsync(w->fd) != 0 && errno != EINVAL) return io_error(err, w->path, "write");
    if (rename(w->temporary, w->path) != 0) return io_error(err, w->path, "write");
    mem_free(w->temporary);
    w->temporary = NULL;
    sync_folder(w->path);
    return OK;
}

void file_writer_close(FileWriter *w)
{
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    if (w->temporary) unlink(w->temporary);
    mem_free(w->temporary);
    mem_free(w->path);
    mem_free(w);
}

/* ---- names ------------------------------------------------------------------------------------ */

bool file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

int64_t file_size(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

bool file_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

Status file_make_dirs(const char *path, Error *err)
{
    char *copy = mem_strdup(path);
    Status status = OK;

    if (!copy) return no_memory(err);
    for (char *p = copy; status == OK && *p;) {
        char *end = p + strspn(p, "/");
        char kept;

        end += strcspn(end, "/");
        kept = *end;
        *end = '\0';
        if (mkdir(copy, 0777) != 0 && !file_is_dir(copy))
            status = io_error(err, path, "make folder");
        *end = kept;
        p = end;
    }
    mem_free(copy);
    return status;
}

char *file_join(const char *folder, const char *name)
{
    Str s = { 0 };

    str_add(&s, folder);
    name += strspn(name, "/");
    if (s.length && s.text[s.length - 1] != '/') str_add_char(&s, '/');
    str_add(&s, name);
    return str_take(&s);
}

/* Both separators count, so that a file written on Windows cannot smuggle one past us. */
char *file_cache_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dot, *folder;

    if (cache && cache[0] == '/') return file_join(cache, "weft");
    if (!home || home[0] != '/') return NULL;
    dot = file_join(home, ".cache");
    folder = dot ? file_join(dot, "weft") : NULL;
    mem_free(dot);
    return folder;
}

bool file_name_is_inside(const char *name)
{
    if (name[0] == '\0' || name[0] == '/' || name[0] == '\\') return false;
    for (const char *p = name; *p; p += strspn(p, "/\\")) {
        size_t n = strcspn(p, "/\\");

        if (n == 2 && p[0] == '.' && p[1] == '.') return false;
        p += n;
    }
    return true;
}

/* ---- listing ---------------------------------------------------------------------------------- */

enum { MAX_FOLDER_DEPTH = 64 };

/* A folder met; `name` is relative to the root and ends in '/' (empty for the root itself). */
typedef struct Folder {
    char *name; /* owned */
    dev_t device;
    ino_t inode;
    ptrdiff_t parent; /* index of the folder above, -1 for the root */
} Folder;

typedef struct Walk {
    const char *root;
    const char *const *suffixes;
    Folder *folders; /* owned; those before `next` have been read */
    size_t folder_count, folder_capacity;
    FileList *files;
    size_t file_capacity;
} Walk;

/* Grows an array of `size`-byte items so that item `count` fits. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *p;

    if (count < *capacity) return true;
    p = mem_realloc(*items, wanted * size);
    if (!p) return false;
    *items = p;
    *capacity = wanted;
    return true;
}

/* Links are followed (people link model folders), but never into a folder that we stand in. */
static bool is_loop(const Walk *w, ptrdiff_t parent, const struct stat *st)
{
    int depth = 0;

    for (ptrdiff_t i = parent; i >= 0; i = w->folders[i].parent, depth++)
        if (w->folders[i].device == st->st_dev && w->folders[i].inode == st->st_ino)
            return true;
    return depth >= MAX_FOLDER_DEPTH;
}

static bool push_folder(Walk *w, char *name, ptrdiff_t parent, const struct stat *st)
{
    void *items = w->folders;
    bool good = name && grow(&items, w->folder_count, &w->folder_capacity, sizeof(Folder));

    w->folders = items;
    if (!good) {
        mem_free(name);
        return false;
    }
    w->folders[w->folder_count++] =
        (Folder){ .name = name, .device = st->st_dev, .inode = st->st_ino, .parent = parent };
    return true;
}

static bool push_file(Walk *w, char *name)
{
    void *items = w->files->names;
    bool good = name && grow(&items, w->files->count, &w->file_capacity, sizeof(char *));

    w->files->names = items;
    if (!good) {
        mem_free(name);
        return false;
    }
    w->files->names[w->files->count++] = name;
    return true;
}

static bool has_suffix(const char *name, const char *const *suffixes)
{
    if (!suffixes) return true;
    for (; *suffixes; suffixes++)
        if (str_ends_with(name, *suffixes)) return true;
    return false;
}

static char *concat(const char *a, const char *b, const char *c)
{
    Str s = { 0 };

    str_add(&s, a);
    str_add(&s, b);
    str_add(&s, c);
    return str_take(&s);
}

/* Takes one directory entry; false = out of memory. What cannot be looked at is passed over. */
static bool take_entry(Walk *w, size_t at, int dir, const char *name)
{
    struct stat st;

    if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, ".git")) return true;
    if (fstatat(dir, name, &st, 0) != 0) return true;
    if (S_ISDIR(st.st_mode)) {
        if (is_loop(w, (ptrdiff_t)at, &st)) return true;
        return push_folder(w, concat(w->folders[at].name, name, "/"), (ptrdiff_t)at, &st);
    }
    if (!S_ISREG(st.st_mode) || !has_suffix(name, w->suffixes)) return true;
    return push_file(w, concat(w->folders[at].name, name, ""));
}

static bool read_folder(Walk *w, size_t at)
{
    char *path = file_join(w->root, w->folders[at].name);
    DIR *dir = path ? opendir(path) : NULL;
    const struct dirent *entry;
    bool good = path != NULL;

    while (good && dir && (entry = readdir(dir)))
        good = take_entry(w, at, dirfd(dir), entry->d_name);
    if (dir) closedir(dir);
    mem_free(path);
    return good;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

Status file_list(const char *folder, const char *const *suffixes, FileList *out, Error *err)
{
    FileList files = { 0 };
    Walk w = { .root = folder, .suffixes = suffixes, .files = &files };
    struct stat st;
    bool good = true;

    if (stat(folder, &st) == 0 && S_ISDIR(st.st_mode)) {
        good = push_folder(&w, mem_strdup(""), -1, &st);
        for (size_t i = 0; good && i < w.folder_count; i++)
            good = read_folder(&w, i);
    }
    for (size_t i = 0; i < w.folder_count; i++)
        mem_free(w.folders[i].name);
    mem_free(w.folders);
    if (!good) {
        file_list_fini(&files);
        return no_memory(err);
    }
    if (files.count) qsort(files.names, files.count, sizeof(char *), compare_names);
    *out = files;
    return OK;
}

void file_list_fini(FileList *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->names[i]);
    mem_free(list->names);
    *list = (FileList){ 0 };
}
