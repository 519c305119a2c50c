/* file.h - files: mapped or read whole, written under a temporary name and renamed. */
#ifndef WEFT_BASE_FILE_H
#define WEFT_BASE_FILE_H

#include "engine/base/ref.h"
#include "engine/base/status.h"

/* A file mapped read-only, shared by reference. Size 0 is allowed (data NULL). */
typedef struct FileMap {
    Ref ref;
    char *path;          /* owned */
    const uint8_t *data; /* borrowed from the mapping */
    size_t size;
    bool borrowed; /* data are the caller's memory, not a mapping */
} FileMap;

Status file_map(const char *path, FileMap **out, Error *err);
/* The same over memory that stays the caller's and must outlive the map; path is for messages. */
Status file_map_bytes(const char *path, const void *bytes, size_t size, FileMap **out, Error *err);
/* Lets the kernel drop the mapping's pages from our resident set; contents stay readable. */
void file_map_release(const FileMap *map);

/* Whole file (or standard input for "-") into memory; *out is NUL-ended, freed with mem_free.
 * Refuses more than `limit` bytes. */
Status file_read(const char *path, size_t limit, char **out, size_t *size, Error *err);

/* Writes `path` so that readers see the old or the new file, never a part: temporary name in the
 * same folder, fsync, rename. On failure nothing is left behind. */
Status file_write(const char *path, const void *data, size_t size, Error *err);

/* A large file written in pieces, in any order, with the same promise: `path` changes at the commit or not at
 * all. Errors: E_IO, E_NOMEM. */
typedef struct FileWriter FileWriter;
Status file_writer_open(const char *path, FileWriter **out, Error *err);
Status file_writer_put(FileWriter *w, uint64_t offset, const void *data, size_t size, Error *err);
Status file_writer_commit(FileWriter *w, Error *err);
/* Without a commit before it nothing is left behind. NULL is allowed. */
void file_writer_close(FileWriter *w);

bool file_exists(const char *path);
int64_t file_size(const char *path); /* -1 when it cannot be told */
bool file_is_dir(const char *path);
Status file_make_dirs(const char *path, Error *err);
/* Sets the time of last use to now, as far as the file allows it. */
void file_touch(const char *path);
/* Deletes the files right in the folder whose name ends in suffix, those used longest ago first, until the
 * rest holds at most `limit` bytes. What cannot be deleted stays. */
void file_trim_folder(const char *folder, const char *suffix, int64_t limit);
/* Digest of a file's size, time of change and a sample of its bytes: the start, the end, and blocks between
 * them. Errors: E_IO. */
Status file_identity(const char *path, uint8_t digest[32], Error *err);
/* Joins with one '/', into a new string (mem_free). NULL when out of memory. */
char *file_join(const char *folder, const char *name);
/* $XDG_CACHE_HOME/weft, else ~/.cache/weft, into a new string (mem_free); it need not exist. NULL without
 * a home or memory. */
char *file_cache_folder(void);
/* True when the relative `name` cannot leave its folder: no absolute path, no "..", no NUL. */
bool file_name_is_inside(const char *name);

/* Names of all regular files below folder (recursive, '/'-separated, sorted bytewise), whose name
 * ends in one of the NULL-ended suffixes (NULL = all). Missing folder: an empty list. */
typedef struct FileList {
    char **names; /* owned */
    size_t count;
} FileList;
Status file_list(const char *folder, const char *const *suffixes, FileList *out, Error *err);
void file_list_fini(FileList *list);

#endif
