/* machine.h - what the operating system tells about this process and its machine. */
#ifndef WEFT_BASE_MACHINE_H
#define WEFT_BASE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* Resident bytes of this process now, and the most so far (VmHWM); -1 when the system does not say. */
int64_t machine_resident(void);
int64_t machine_resident_peak(void);

/* The processor's name as /proc/cpuinfo has it ("unknown" when it has none). */
void machine_cpu(char *buf, size_t size);

/* Bytes of [data, data + size), a part of a mapped file, that are not in the page cache; 0 when the
 * system does not say. */
int64_t machine_cold_bytes(const void *data, size_t size);

/* Bytes per second at which a file comes from its disk, past the page cache, from reading a part of it; 0
 * when it cannot be told. */
double machine_read_rate(const char *path);

/* Processes that wanted to run, over the last minute; 0 when the system does not say. */
double machine_load(void);

#endif
