/* amx.h - configuration of the AMX tile registers; only for files built for AMX. */
#ifndef WEFT_CPU_AMX_H
#define WEFT_CPU_AMX_H

#include <immintrin.h>
#include <stdint.h>

/* Palette 1 (Intel SDM, "LDTILECFG"): eight tiles of up to 16 rows by 64 bytes. */
typedef struct AmxConfig {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} AmxConfig;

/* Gives this thread eight full tiles. */
static inline void amx_begin(void)
{
    _Alignas(64) AmxConfig cfg = { .palette = 1 };
    for (int i = 0; i < 8; i++) {
        cfg.colsb[i] = 64;
        cfg.rows[i] = 16;
    }
    __asm__ volatile(""
                     :
                     : "r"(&cfg)
                     : "memory"); /* the intrinsic does not say that it reads all */
    _tile_loadconfig(&cfg);
}

static inline void amx_end(void)
{
    _tile_release();
}

#endif
