/* launch.c - starts the built program as a user does and keeps what it said. */
#include "tests/workflows/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void launch_open(Launch *l, const char *program, const char *source)
{
    memset(l, 0, sizeof *l);
    l->program = program;
    l->source = source;
    snprintf(l->folder, sizeof l->folder, "%s/weft-launch-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(l->folder)) abort();
    snprintf(l->output, sizeof l->output, "%s/out", l->folder);
    mkdir(l->output, 0755);
}

void launch_close(Launch *l)
{
    free(l->out);
    free(l->err);
    nftw(l->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    memset(l, 0, sizeof *l);
}

void launch_clear(Launch *l)
{
    nftw(l->output, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    mkdir(l->output, 0755);
}

const char *launch_write(Launch *l, const char *name, const void *bytes, size_t n)
{
    static char path[700];
    snprintf(path, sizeof path, "%s/%s", l->folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

static int files_seen;

static int count_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)ftw;
    files_seen += flag == FTW_F;
    return 0;
}

int launch_outputs(const Launch *l)
{
    files_seen = 0;
    nftw(l->output, count_entry, 8, FTW_PHYS);
    return files_seen;
}

/* ---- one start ---------------------------------------------------------------------------------- */

typedef struct Pipe {
    int fd;
    char *text; /* owned */
    size_t n;
} Pipe;

/* In the child: what the parent gave becomes the standard files, caches lie in the scratch folder. Writing past
 * a file limit gives EFBIG. */
static void become(const Launch *l, char **argv, int in, int out, int err)
{
    char cache[400];
    snprintf(cache, sizeof cache, "%s/cache", l->folder);
    setenv("XDG_CACHE_HOME", cache, 1);
    if (l->file_limit > 0) {
        struct rlimit limit = { (rlim_t)l->file_limit, (rlim_t)l->file_limit };
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(l->program, argv);
    _exit(127);
}

/* false at the end of the stream. */
static bool take(Pipe *p)
{
    char buf[4096];
    ssize_t n = read(p->fd, buf, sizeof buf);
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) return false;
    if (p->n + (size_t)n >= LAUNCH_TEXT_MAX) return true;
    memcpy(p->text + p->n, buf, (size_t)n);
    p->n += (size_t)n;
    p->text[p->n] = 0;
    return true;
}

/* Milliseconds until `after` have gone by. */
static int left(struct timespec began, int after)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return after - (int)((now.tv_sec - began.tv_sec) * 1000 +
                         (now.tv_nsec - began.tv_nsec) / 1000000);
}

/* Reads both streams to their ends; interrupts the child once when it has said what was waited for. */
static void listen_to(Launch *l, pid_t child, Pipe *pipes)
{
    const char *awaited = l->wait_for;
    int open = 2, wait = l->interrupt_after;
    struct timespec began;
    clock_gettime(CLOCK_MONOTONIC, &began);
    while (open > 0) {
        struct pollfd fds[2] = { { pipes[0].fd, POLLIN, 0 }, { pipes[1].fd, POLLIN, 0 } };
        int ready = poll(fds, 2, wait > 0 ? wait : -1);
        if (ready < 0 && errno != EINTR) break;
        if (wait > 0 && left(began, l->interrupt_after) <= 0) {
            kill(child, l->signal ? l->signal : SIGINT);
            wait = 0;
        } else if (wait > 0)
            wait = left(began, l->interrupt_after);
        if (ready <= 0) continue;
        for (int i = 0; i < 2; i++) {
            if (pipes[i].fd < 0 || !fds[i].revents || take(&pipes[i])) continue;
            close(pipes[i].fd);
            pipes[i].fd = -1;
            open--;
        }
        if (!awaited || !strstr(pipes[0].text, awaited)) continue;
        kill(child, l->signal ? l->signal : SIGINT);
        awaited = NULL;
    }
}

static int wait_status(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int feed(const Launch *l)
{
    int ends[2];
    if (!l->input) return open("/dev/null", O_RDONLY);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], l->input, strlen(l->input)), strlen(l->input));
    close(ends[1]);
    return ends[0];
}

void launch(Launch *l, const char *const *args)
{
    char *argv[LAUNCH_ARGS_MAX];
    int n = 1, out[2], err[2], in = feed(l);
    argv[0] = strdup(l->program);
    for (; args[n - 1] && n < LAUNCH_ARGS_MAX - 1; n++)
        argv[n] = strdup(args[n - 1]);
    argv[n] = NULL;
    assert_int_equal(pipe2(out, O_CLOEXEC) + pipe2(err, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) become(l, argv, in, out[1], err[1]);
    assert_true(child > 0);
    close(in);
    close(out[1]);
    close(err[1]);
    Pipe pipes[2] = { { out[0], calloc(1, LAUNCH_TEXT_MAX), 0 },
                      { err[0], calloc(1, LAUNCH_TEXT_MAX), 0 } };
    listen_to(l, child, pipes);
    l->status = wait_status(child);
    free(l->out);
    free(l->err);
    l->out = pipes[0].text;
    l->err = pipes[1].text;
    l->file_limit = 0;
    l->wait_for = l->input = NULL;
    l->interrupt_after = l->signal = 0;
    while (n-- > 0)
        free(argv[n]);
}

void launch_workflow(Launch *l, const char *command, const char *file, const char *const *extra)
{
    char models[600], input[600], temp[600];
    const char *args[LAUNCH_ARGS_MAX] = { command,     file,  "--models",    models,
                                          "--input",   input, "--output",    l->output,
                                          "--temp",    temp,  "--precision", "exact",
                                          "--threads", "2",   NULL };
    int n = 14;
    snprintf(models, sizeof models, "%s/tests/data/models", l->source);
    snprintf(input, sizeof input, "%s/graphs/input", l->source);
    snprintf(temp, sizeof temp, "%s/temp", l->folder);
    for (; extra && *extra && n < LAUNCH_ARGS_MAX - 1; extra++)
        args[n++] = *extra;
    args[n] = NULL;
    launch(l, args);
}

void launch_expect(const Launch *l, int status, const char *const *texts)
{
    if (l->status != status)
        fail_msg("exit status %d instead of %d; it said: %s", l->status, status, l->err);
    for (; texts && *texts; texts++)
        if (!strstr(l->err, *texts)) fail_msg("no '%s' in: %s", *texts, l->err);
    if (strstr(l->err, "Sanitizer")) fail_msg("%s", l->err);
    if (strstr(l->err, "runtime error")) fail_msg("%s", l->err);
}
