/* machine.c - what the operating system tells about this process and its machine. */
#include "engine/base/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/mem.h"

/* The number after "key:" in a file of lines "key:   123 kB", in bytes; -1 when it is not there. */
static int64_t kib_of(const char *path, const char *key)
{
    char line[256];
    int64_t found = -1;
    size_t n = strlen(key);
    FILE *f = fopen(path, "r");

    while (f && found < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) == 0 && line[n] == ':')
            found = (int64_t)strtoll(line + n + 1, NULL, 10) * 1024;
    if (f) fclose(f);
    return found;
}

int64_t machine_resident(void)
{
    return kib_of("/proc/self/status", "VmRSS");
}

int64_t machine_resident_peak(void)
{
    return kib_of("/proc/self/status", "VmHWM");
}

void machine_cpu(char *buf, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(buf, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = 0;
        snprintf(buf, size, "%s", value);
        break;
    }
    if (f) fclose(f);
}

int64_t machine_cold_bytes(const void *data, size_t size)
{
    enum { CHUNK = 4096 };
    unsigned char there[CHUNK];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)data / page * page;
    uintptr_t end = (uintptr_t)data + size;
    int64_t cold = 0;

    while (at < end) {
        size_t pages = (end - at + page - 1) / page;
        if (pages > CHUNK) pages = CHUNK;
        if (mincore((void *)at, pages * page, there) != 0) return 0;
        for (size_t i = 0; i < pages; i++)
            cold += (there[i] & 1) ? 0 : (int64_t)page;
        at += pages * page;
    }
    return cold;
}

double machine_read_rate(const char *path)
{
    enum { BLOCK = 8 << 20, BLOCKS = 8 };
    struct timespec began, ended;
    void *buffer = mem_aligned(4096, BLOCK);
    int fd = buffer ? open(path, O_RDONLY | O_DIRECT | O_CLOEXEC) : -1;
    int64_t got = 0;

    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int i = 0; fd >= 0 && i < BLOCKS; i++) {
        ssize_t n = read(fd, buffer, BLOCK);
        if (n <= 0) break;
        got += n;
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (fd >= 0) close(fd);
    mem_free(buffer);
    double seconds = (double)(ended.tv_sec - began.tv_sec) +
                     (double)(ended.tv_nsec - began.tv_nsec) * 1e-9;
    return got > 0 && seconds > 0 ? (double)got / seconds : 0;
}

double machine_load(void)
{
    double load = 0;

    return getloadavg(&load, 1) == 1 ? load : 0;
}
