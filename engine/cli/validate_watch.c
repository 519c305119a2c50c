/* validate_watch.c - `weft validate --watch`: checks again whenever a file is saved.
 *
 * Looks at times and sizes of all inputs; where the kernel tells of changes (inotify) it only looks when
 * told, else twice a second. New files of a folder are seen because the inputs are collected anew.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/inotify.h>
#endif

#include "engine/base/mem.h"
#include "engine/cli/validate.h"

enum { POLL_MS = 500, SETTLE_MS = 40 };

static volatile sig_atomic_t stopped; /* the one thing a signal may touch */

static void on_signal(int number)
{
    stopped = number;
}

/* ---- has anything changed? --------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x100000001b3);
}

/* A number that changes with names, sizes and times of the inputs. */
static uint64_t fingerprint(const CliArgs *args)
{
    Inputs in = { 0 };
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    if (inputs_collect(&args->files, &in, NULL) != OK) return h;
    for (size_t i = 0; i < in.count; i++) {
        struct stat st;
        for (const char *p = in.items[i].path; *p; p++)
            h = mix(h, (unsigned char)*p);
        if (stat(in.items[i].path, &st) != 0) continue;
        h = mix(h, (uint64_t)st.st_size);
        h = mix(h, (uint64_t)st.st_mtim.tv_sec * 1000000007u + (uint64_t)st.st_mtim.tv_nsec);
        h = mix(h, (uint64_t)st.st_ino);
    }
    inputs_free(&in);
    return h;
}

/* ---- waiting ----------------------------------------------------------------------------- */

#ifdef __linux__
/* Watches the folder of each input; -1 when that cannot be had. */
static int watch_folders(const CliArgs *args)
{
    Inputs in = { 0 };
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    bool good = fd >= 0 && inputs_collect(&args->files, &in, NULL) == OK;

    for (size_t i = 0; good && i < in.count; i++) {
        char *slash = strrchr(in.items[i].path, '/');
        const char *folder = slash ? in.items[i].path : ".";
        if (slash) slash[slash == in.items[i].path] = 0;
        good = inotify_add_watch(fd, folder,
                                 IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE) >= 0;
    }
    inputs_free(&in);
    if (good) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static void drain(int fd)
{
    char buffer[4096];

    while (read(fd, buffer, sizeof buffer) > 0)
        ;
}
#else
static int watch_folders(const CliArgs *args)
{
    (void)args;
    return -1;
}

static void drain(int fd)
{
    (void)fd;
}
#endif

/* Until the kernel tells of a change, or half a second (two seconds where it tells) has passed. */
static void wait_for_change(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, fd >= 0 ? 1 : 0, fd >= 0 ? 4 * POLL_MS : POLL_MS) <= 0) return;
    poll(NULL, 0, SETTLE_MS); /* editors write in several steps */
    drain(fd);
}

static void print_time(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm local;

    if (localtime_r(&now, &local) && strftime(text, sizeof text, "%H:%M:%S", &local))
        fprintf(stderr, "-- %s, waiting for changes\n", text);
    fflush(stdout);
}

int validate_watch(const CliArgs *args)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

    sigaction(SIGINT, &action, NULL); /* a second one ends a check that takes long */
    sigaction(SIGTERM, &action, NULL);
    int status = validate_all(args), fd;
    uint64_t last = fingerprint(args);
    print_time();
    fd = watch_folders(args);
    while (!stopped) {
        wait_for_change(fd);
        if (stopped || fingerprint(args) == last) continue;
        if (fd >= 0) close(fd);
        status = validate_all(args);
        last = fingerprint(args);
        fd = watch_folders(args);
        print_time();
    }
    if (fd >= 0) close(fd);
    return status;
}
