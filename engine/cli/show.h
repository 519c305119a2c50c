/* show.h - draws a picture in the terminal. */
#ifndef WEFT_CLI_SHOW_H
#define WEFT_CLI_SHOW_H

#include <stdio.h>

/* Draws a PNG file: Kitty's and iTerm2's picture protocols where the environment names them, Sixel where the
 * terminal says that it has it, else half blocks in 24-bit colour. Does nothing when `out` is no terminal or the file cannot be read. */
void show_picture(const char *path, FILE *out);

#endif
