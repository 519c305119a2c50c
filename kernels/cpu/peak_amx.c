/* peak_amx.c - peak loop of the AMX tile product, four independent sums. */
#include "kernels/cpu/amx.h"
#include "kernels/cpu/peak.h"

double peak_bf16_amx(int64_t rounds)
{
    _Alignas(64) uint16_t data[2][512];

    for (int i = 0; i < 1024; i++)
        data[i / 512][i % 512] = (uint16_t)(0x3f00 + i * 37 % 256);
    __asm__ volatile("" : : "r"(data) : "memory");
    amx_begin();
    for (int64_t n = 0; n < rounds; n++) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        _tile_loadd(4, data[0], 64);
        _tile_loadd(5, data[1], 64);
        for (int i = 0; i < 100; i++) {
            _tile_dpbf16ps(0, 4, 5);
            _tile_dpbf16ps(1, 4, 5);
            _tile_dpbf16ps(2, 5, 4);
            _tile_dpbf16ps(3, 5, 4);
        }
    }
    amx_end();
    return (double)rounds * 400 * 16 * 16 * 32 * 2;
}
