/* sha256.h - content hashes of files and cache keys (FIPS 180-4, "Secure Hash Standard"). */
#ifndef WEFT_BASE_SHA256_H
#define WEFT_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct Sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
} Sha256;

void sha256_init(Sha256 *h);
void sha256_add(Sha256 *h, const void *data, size_t size);
void sha256_end(Sha256 *h, uint8_t digest[32]);
void sha256_hex(const uint8_t digest[32], char text[65]); /* lower case, NUL-ended */

#endif
