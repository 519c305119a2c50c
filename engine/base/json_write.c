/* json_write.c - JSON text as Python's json.dumps gives it. */
#include "engine/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json_node.h"

static const JsonNode *node(const Json *j)
{
    return (const JsonNode *)(const void *)j;
}

static bool is_container(const Json *j)
{
    return cJSON_IsArray(j) || cJSON_IsObject(j);
}

static void write_escape(Str *out, unsigned c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = c > 0 && c < 0x80 ? strchr(from, (int)c) : NULL;

    if (known) {
        str_add_char(out, '\\');
        str_add_char(out, to[known - from]);
    } else if (c >= 0x10000) {
        c -= 0x10000;
        str_printf(out, "\\u%04x\\u%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
    } else {
        str_printf(out, "\\u%04x", c);
    }
}

/* Takes one code point of WTF-8; a byte that fits nowhere counts as U+FFFD. */
static size_t take_code_point(const unsigned char *s, size_t n, unsigned *out)
{
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    unsigned c = s[0] & (length == 1 ? 0x7Fu : 0x7Fu >> length);

    if (length == 0 || length > n || s[0] > 0xF4) goto bad;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) goto bad;
        c = c << 6 | (s[i] & 0x3F);
    }
    if ((length == 3 && c < 0x800) || (length == 4 && (c < 0x10000 || c > 0x10FFFF))) goto bad;
    *out = c;
    return length;
bad:
    *out = 0xFFFD;
    return 1;
}

void json_write_string(Str *out, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;

    str_add_char(out, '"');
    for (size_t at = 0; at < n;) {
        size_t run = at;
        unsigned c;

        while (run < n && s[run] >= ' ' && s[run] <= '~' && s[run] != '"' && s[run] != '\\')
            run++;
        str_add_n(out, text + at, run - at);
        at = run;
        if (at == n) break;
        at += take_code_point(s + at, n - at, &c);
        write_escape(out, c);
    }
    str_add_char(out, '"');
}

/* Python's repr: the shortest digits that read back, exponents below -4 and from 16 on. */
static void write_shortest(Str *out, double v)
{
    char text[40], number[20];
    int exponent, digit_count, precision = 0;

    do
        snprintf(text, sizeof text, "%.*e", precision, v);
    while (strtod(text, NULL) != v && ++precision < 17);
    exponent = atoi(strchr(text, 'e') + 1);
    if (exponent >= -4 && exponent < 16) {
        digit_count = precision - exponent;
        str_printf(out, "%.*f", digit_count > 1 ? digit_count : 1, v);
        return;
    }
    *strchr(text, 'e') = '\0';
    snprintf(number, sizeof number, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    str_add(out, text);
    str_add(out, number);
}

void json_write_double(Str *out, double v)
{
    if (isnan(v))
        str_add(out, "NaN");
    else if (isinf(v))
        str_add(out, v < 0 ? "-Infinity" : "Infinity");
    else
        write_shortest(out, v);
}

static void write_scalar(Str *out, const Json *j)
{
    switch (json_kind(j)) {
    case JSON_STRING:
        json_write_string(out, json_string(j), json_string_length(j));
        break;
    case JSON_NUMBER:
        str_add(out, json_number_text(j));
        break;
    case JSON_BOOL:
        str_add(out, json_bool(j) ? "true" : "false");
        break;
    default:
        str_add(out, "null");
        break;
    }
}

/* Walks by the parent links, so that depth costs no stack. */
void json_write(Str *out, const Json *top)
{
    const JsonNode *n = node(top);

    for (;;) {
        const Json *first = json_first(&n->base);

        if (n->base.string && n != node(top)) {
            json_write_string(out, n->base.string, n->key_length);
            str_add(out, ": ");
        }
        if (is_container(&n->base))
            str_add_char(out, cJSON_IsObject(&n->base) ? '{' : '[');
        else
            write_scalar(out, &n->base);
        if (first) {
            n = node(first);
            continue;
        }
        if (is_container(&n->base)) str_add_char(out, cJSON_IsObject(&n->base) ? '}' : ']');
        while (n != node(top) && !n->base.next) {
            n = n->parent;
            str_add_char(out, cJSON_IsObject(&n->base) ? '}' : ']');
        }
        if (n == node(top)) return;
        str_add(out, ", ");
        n = node(n->base.next);
    }
}
