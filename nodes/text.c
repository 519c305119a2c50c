/* text.c - node types that change and compare texts. */
#include "nodes/text.h"

#include <string.h>

#include "engine/text/regex.h"
#include "engine/text/strings.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* The text of s, or an error; s is emptied. */
static Status finish(Str *s, char **out, Error *err)
{
    *out = str_take(s);
    return *out ? OK : error_set(err, E_NOMEM, "no memory for a text");
}

/* Lower case of both when capitals do not count. */
typedef struct Pair {
    Str a, b;
} Pair;

static Status pair_init(Pair *p, const char *a, const char *b, bool case_sensitive, Error *err)
{
    *p = (Pair){ 0 };
    if (case_sensitive) {
        str_add(&p->a, a);
        str_add(&p->b, b);
    } else {
        strings_lower(a, &p->a);
        strings_lower(b, &p->b);
    }
    /* an empty text has no memory */
    str_add_char(&p->a, 0);
    str_add_char(&p->b, 0);
    if (!p->a.failed && !p->b.failed) return OK;
    str_fini(&p->a);
    str_fini(&p->b);
    return error_set(err, E_NOMEM, "no memory for a text");
}

static void pair_fini(Pair *p)
{
    str_fini(&p->a);
    str_fini(&p->b);
}

/* ---- StringSubstring --------------------------------------------------------------------- */

typedef struct SubstringIn {
    const char *string;
    int64_t start, end;
} SubstringIn;

/* clang-format off */
static const Socket substring_in[] = {
    { ROW(SubstringIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(SubstringIn, start, SOCK_INT), .doc = "First character, from 0; negative ones count from the end." },
    { ROW(SubstringIn, end, SOCK_INT), .doc = "Character before which it ends; negative ones count from the end." },
    END_ROWS
};
/* clang-format on */

static Status substring_run(NodeCall *call)
{
    const SubstringIn *in = call->in;
    StringOut *out = call->out;
    Str s = { 0 };

    strings_slice(in->string, in->start, in->end, &s);
    return finish(&s, &out->text, call->err);
}

static const NodeDef substring_node = {
    .class_type = "StringSubstring",
    .display = "Substring",
    .category = "utils/string",
    .doc = "A part of a text, counted in characters.",
    .inputs = substring_in,
    .outputs = string_out,
    .in_size = sizeof(SubstringIn),
    .out_size = sizeof(StringOut),
    .run = substring_run,
};

/* ---- StringLength ------------------------------------------------------------------------ */

typedef struct LengthIn {
    const char *string;
} LengthIn;

/* clang-format off */
static const Socket length_in[] = {
    { ROW(LengthIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    END_ROWS
};
/* clang-format on */

typedef struct LengthOut {
    int64_t length;
} LengthOut;

/* clang-format off */
static const Socket length_out[] = {
    OUT(LengthOut, length, "length", SOCK_INT),
    END_ROWS
};
/* clang-format on */

static Status length_run(NodeCall *call)
{
    const LengthIn *in = call->in;
    LengthOut *out = call->out;
    out->length = strings_length(in->string);
    return OK;
}

static const NodeDef length_node = {
    .class_type = "StringLength",
    .display = "Length",
    .category = "utils/string",
    .doc = "The number of characters of a text.",
    .inputs = length_in,
    .outputs = length_out,
    .in_size = sizeof(LengthIn),
    .out_size = sizeof(LengthOut),
    .run = length_run,
};

/* ---- CaseConverter ----------------------------------------------------------------------- */

static const char *const convert_modes[] = { "UPPERCASE", "lowercase", "Capitalize",
                                             "Title Case", NULL };

typedef struct ConvertIn {
    const char *string, *mode;
} ConvertIn;

/* clang-format off */
static const Socket convert_in[] = {
    { ROW(ConvertIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(ConvertIn, mode, SOCK_COMBO), .options = convert_modes, .doc = "Which letters become capitals." },
    END_ROWS
};
/* clang-format on */

static const struct Converter {
    const char *mode;
    void (*convert)(const char *s, Str *out);
} converters[] = {
    { "UPPERCASE", strings_upper },
    { "lowercase", strings_lower },
    { "Capitalize", strings_capitalize },
    { "Title Case", strings_title },
};

static Status convert_run(NodeCall *call)
{
    const ConvertIn *in = call->in;
    StringOut *out = call->out;
    Str s = { 0 };

    for (size_t i = 0; i < sizeof converters / sizeof *converters; i++)
        if (strcmp(converters[i].mode, in->mode) == 0) converters[i].convert(in->string, &s);
    return finish(&s, &out->text, call->err);
}

static const NodeDef convert_node = {
    .class_type = "CaseConverter",
    .display = "Case Converter",
    .category = "utils/string",
    .doc = "Changes capitals.",
    .inputs = convert_in,
    .outputs = string_out,
    .in_size = sizeof(ConvertIn),
    .out_size = sizeof(StringOut),
    .run = convert_run,
};

/* ---- StringTrim -------------------------------------------------------------------------- */

static const char *const trim_modes[] = { "Both", "Left", "Right", NULL };

/* clang-format off */
static const Socket trim_in[] = {
    { ROW(ConvertIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(ConvertIn, mode, SOCK_COMBO), .options = trim_modes, .doc = "Which ends." },
    END_ROWS
};
/* clang-format on */

static Status trim_run(NodeCall *call)
{
    const ConvertIn *in = call->in;
    StringOut *out = call->out;
    bool left = strcmp(in->mode, "Right") != 0, right = strcmp(in->mode, "Left") != 0;
    Str s = { 0 };

    strings_strip(in->string, left, right, &s);
    return finish(&s, &out->text, call->err);
}

static const NodeDef trim_node = {
    .class_type = "StringTrim",
    .display = "Trim",
    .category = "utils/string",
    .doc = "Takes white space off the ends.",
    .inputs = trim_in,
    .outputs = string_out,
    .in_size = sizeof(ConvertIn),
    .out_size = sizeof(StringOut),
    .run = trim_run,
};

/* ---- StringReplace ----------------------------------------------------------------------- */

typedef struct ReplaceIn {
    const char *string, *find, *replace;
} ReplaceIn;

/* clang-format off */
static const Socket replace_in[] = {
    { ROW(ReplaceIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(ReplaceIn, find, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to look for." },
    { ROW(ReplaceIn, replace, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text that takes its place." },
    END_ROWS
};
/* clang-format on */

static Status replace_run(NodeCall *call)
{
    const ReplaceIn *in = call->in;
    StringOut *out = call->out;
    Str s = { 0 };

    strings_replace(in->string, in->find, in->replace, &s);
    return finish(&s, &out->text, call->err);
}

static const NodeDef replace_node = {
    .class_type = "StringReplace",
    .display = "Replace",
    .category = "utils/string",
    .doc = "Replaces a text by another wherever it stands.",
    .inputs = replace_in,
    .outputs = string_out,
    .in_size = sizeof(ReplaceIn),
    .out_size = sizeof(StringOut),
    .run = replace_run,
};

/* ---- StringContains ---------------------------------------------------------------------- */

typedef struct ContainsIn {
    const char *string, *substring;
    bool case_sensitive;
} ContainsIn;

/* clang-format off */
static const Socket contains_in[] = {
    { ROW(ContainsIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(ContainsIn, substring, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to look for." },
    { ROW(ContainsIn, case_sensitive, SOCK_BOOLEAN), .def = 1, .doc = "Capitals count." },
    END_ROWS
};
/* clang-format on */

typedef struct ContainsOut {
    bool contains;
} ContainsOut;

/* clang-format off */
static const Socket contains_out[] = {
    OUT(ContainsOut, contains, "contains", SOCK_BOOLEAN),
    END_ROWS
};
/* clang-format on */

static Status contains_run(NodeCall *call)
{
    const ContainsIn *in = call->in;
    ContainsOut *out = call->out;
    Pair p;

    TRY(pair_init(&p, in->string, in->substring, in->case_sensitive, call->err));
    out->contains = strstr(p.a.text, p.b.text) != NULL;
    pair_fini(&p);
    return OK;
}

static const NodeDef contains_node = {
    .class_type = "StringContains",
    .display = "Contains",
    .category = "utils/string",
    .doc = "Whether a text stands in another.",
    .inputs = contains_in,
    .outputs = contains_out,
    .in_size = sizeof(ContainsIn),
    .out_size = sizeof(ContainsOut),
    .run = contains_run,
};

/* ---- StringCompare ----------------------------------------------------------------------- */

static const char *const compare_modes[] = { "Starts With", "Ends With", "Equal", NULL };

typedef struct CompareIn {
    const char *string_a, *string_b, *mode;
    bool case_sensitive;
} CompareIn;

/* clang-format off */
static const Socket compare_in[] = {
    { ROW(CompareIn, string_a, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to look at." },
    { ROW(CompareIn, string_b, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to look for." },
    { ROW(CompareIn, mode, SOCK_COMBO), .options = compare_modes, .doc = "How they are compared." },
    { ROW(CompareIn, case_sensitive, SOCK_BOOLEAN), .def = 1, .doc = "Capitals count." },
    END_ROWS
};
/* clang-format on */

typedef struct BooleanOut {
    bool value;
} BooleanOut;

/* clang-format off */
static const Socket boolean_out[] = {
    OUT(BooleanOut, value, "BOOLEAN", SOCK_BOOLEAN),
    END_ROWS
};
/* clang-format on */

static Status compare_run(NodeCall *call)
{
    const CompareIn *in = call->in;
    BooleanOut *out = call->out;
    Pair p;

    TRY(pair_init(&p, in->string_a, in->string_b, in->case_sensitive, call->err));
    if (strcmp(in->mode, "Equal") == 0)
        out->value = strcmp(p.a.text, p.b.text) == 0;
    else if (strcmp(in->mode, "Starts With") == 0)
        out->value = str_starts_with(p.a.text, p.b.text);
    else
        out->value = str_ends_with(p.a.text, p.b.text);
    pair_fini(&p);
    return OK;
}

static const NodeDef compare_node = {
    .class_type = "StringCompare",
    .display = "Compare",
    .category = "utils/string",
    .doc = "Compares two texts.",
    .inputs = compare_in,
    .outputs = boolean_out,
    .in_size = sizeof(CompareIn),
    .out_size = sizeof(BooleanOut),
    .run = compare_run,
};

/* ---- regular expressions -------------------------------------------------------------------------------- */

static unsigned regex_flags(bool case_insensitive, bool multiline, bool dotall)
{
    return (case_insensitive ? REGEX_IGNORE_CASE : 0) | (multiline ? REGEX_MULTILINE : 0) |
           (dotall ? REGEX_DOT_ALL : 0);
}

/* The reference takes a pattern that is no pattern for one that never matches; *out is NULL then. */
static Status lenient_regex(const char *pattern, unsigned flags, Regex **out, Error *err)
{
    Error wrong;
    Status status = regex_new(pattern, flags, out, &wrong);

    if (status == E_FORMAT) {
        *out = NULL;
        return OK;
    }
    if (status != OK && err) *err = wrong;
    if (status != OK) error_at_input(err, "regex_pattern");
    return status;
}

/* ---- RegexMatch -------------------------------------------------------------------------- */

typedef struct MatchIn {
    const char *string, *regex_pattern;
    bool case_insensitive, multiline, dotall;
} MatchIn;

/* clang-format off */
static const Socket match_in[] = {
    { ROW(MatchIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(MatchIn, regex_pattern, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Regular expression as Python writes it." },
    { ROW(MatchIn, case_insensitive, SOCK_BOOLEAN), .def = 1, .doc = "Capitals do not count." },
    { ROW(MatchIn, multiline, SOCK_BOOLEAN), .doc = "^ and $ match at every line." },
    { ROW(MatchIn, dotall, SOCK_BOOLEAN), .doc = "The dot matches newlines too." },
    END_ROWS
};
/* clang-format on */

typedef struct MatchOut {
    bool matches;
} MatchOut;

/* clang-format off */
static const Socket match_out[] = {
    OUT(MatchOut, matches, "matches", SOCK_BOOLEAN),
    END_ROWS
};
/* clang-format on */

static Status match_run(NodeCall *call)
{
    const MatchIn *in = call->in;
    MatchOut *out = call->out;
    Regex *regex = NULL;
    RegexScan *scan = NULL;
    Status status = OK;

    TRY(lenient_regex(in->regex_pattern,
                      regex_flags(in->case_insensitive, in->multiline, in->dotall), &regex,
                      call->err));
    if (!regex) return OK;
    TRY_DONE(regex_scan(regex, in->string, &scan, call->err));
    status = regex_next(scan, &out->matches, call->err);
done:
    regex_scan_free(scan);
    regex_free(regex);
    return status;
}

static const NodeDef match_node = {
    .class_type = "RegexMatch",
    .display = "Regex Match",
    .category = "utils/string",
    .doc = "Whether a pattern stands in a text; a pattern that is wrong stands nowhere.",
    .inputs = match_in,
    .outputs = match_out,
    .in_size = sizeof(MatchIn),
    .out_size = sizeof(MatchOut),
    .run = match_run,
};

/* ---- RegexExtract ------------------------------------------------------------------------ */

static const char *const extract_modes[] = { "First Match", "All Matches", "First Group",
                                             "All Groups", NULL };

typedef struct ExtractIn {
    const char *string, *regex_pattern, *mode;
    bool case_insensitive, multiline, dotall;
    int64_t group_index;
} ExtractIn;

/* clang-format off */
static const Socket extract_in[] = {
    { ROW(ExtractIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(ExtractIn, regex_pattern, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Regular expression as Python writes it." },
    { ROW(ExtractIn, mode, SOCK_COMBO), .options = extract_modes, .doc = "One or all finds, whole or one group of them." },
    { ROW(ExtractIn, case_insensitive, SOCK_BOOLEAN), .def = 1, .doc = "Capitals do not count." },
    { ROW(ExtractIn, multiline, SOCK_BOOLEAN), .doc = "^ and $ match at every line." },
    { ROW(ExtractIn, dotall, SOCK_BOOLEAN), .doc = "The dot matches newlines too." },
    { ROW(ExtractIn, group_index, SOCK_INT), .def = 1, .max = 100, .doc = "Group, 0 = the whole find." },
    END_ROWS
};
/* clang-format on */

/* The group that a mode takes of each find, -1 = none. */
static int extract_group(const ExtractIn *in, const Regex *regex)
{
    int groups = regex_groups(regex), wanted = (int)in->group_index;

    if (strcmp(in->mode, "First Match") == 0) return 0;
    if (strcmp(in->mode, "All Matches") == 0) return groups > 0;
    if (strcmp(in->mode, "All Groups") == 0 && groups == 0) return -1;
    return wanted <= groups ? wanted : -1;
}

static Status extract(const ExtractIn *in, const Regex *regex, RegexScan *scan, Str *out,
                      Error *err)
{
    int group = extract_group(in, regex);
    bool all = strncmp(in->mode, "All", 3) == 0, found = true;

    for (int n = 0; group >= 0; n++) {
        if (n > 0 && !all) return OK;
        TRY(regex_next(scan, &found, err));
        if (!found) return OK;
        if (n > 0) str_add_char(out, '\n');
        regex_group(scan, group, out);
    }
    return OK;
}

static Status extract_run(NodeCall *call)
{
    const ExtractIn *in = call->in;
    StringOut *out = call->out;
    Regex *regex = NULL;
    RegexScan *scan = NULL;
    Str s = { 0 };
    Status status = OK;

    TRY(lenient_regex(in->regex_pattern,
                      regex_flags(in->case_insensitive, in->multiline, in->dotall), &regex,
                      call->err));
    if (regex) {
        TRY_DONE(regex_scan(regex, in->string, &scan, call->err));
        TRY_DONE(extract(in, regex, scan, &s, call->err));
    }
    status = finish(&s, &out->text, call->err);
done:
    regex_scan_free(scan);
    regex_free(regex);
    str_fini(&s);
    return status;
}

static const NodeDef extract_node = {
    .class_type = "RegexExtract",
    .display = "Regex Extract",
    .category = "utils/string",
    .doc = "What a pattern finds in a text; several finds stand on lines of their own.",
    .inputs = extract_in,
    .outputs = string_out,
    .in_size = sizeof(ExtractIn),
    .out_size = sizeof(StringOut),
    .run = extract_run,
};

/* ---- RegexReplace ------------------------------------------------------------------------ */

typedef struct SubIn {
    const char *string, *regex_pattern, *replace;
    bool case_insensitive, multiline, dotall;
    int64_t count;
} SubIn;

/* clang-format off */
static const Socket sub_in[] = {
    { ROW(SubIn, string, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text to read." },
    { ROW(SubIn, regex_pattern, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Regular expression as Python writes it." },
    { ROW(SubIn, replace, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text that takes its place; \\1 and \\g<name> stand for groups." },
    { ROW(SubIn, case_insensitive, SOCK_BOOLEAN), .def = 1, .flags = SOCK_F_OPTIONAL, .doc = "Capitals do not count." },
    { ROW(SubIn, multiline, SOCK_BOOLEAN), .flags = SOCK_F_OPTIONAL, .doc = "^ and $ match at every line." },
    { ROW(SubIn, dotall, SOCK_BOOLEAN), .flags = SOCK_F_OPTIONAL, .doc = "The dot matches newlines too." },
    { ROW(SubIn, count, SOCK_INT), .max = 100, .flags = SOCK_F_OPTIONAL, .doc = "How many finds at most; 0 = all." },
    END_ROWS
};
/* clang-format on */

static Status sub_run(NodeCall *call)
{
    const SubIn *in = call->in;
    StringOut *out = call->out;
    Regex *regex = NULL;
    Str s = { 0 };
    Status status = regex_new(in->regex_pattern,
                              regex_flags(in->case_insensitive, in->multiline, in->dotall),
                              &regex, call->err);

    if (status != OK) {
        error_at_input(call->err, "regex_pattern");
        return status;
    }
    status = regex_replace(regex, in->string, in->replace, in->count, &s, call->err);
    if (status == OK) status = finish(&s, &out->text, call->err);
    regex_free(regex);
    str_fini(&s);
    return status;
}

static const NodeDef sub_node = {
    .class_type = "RegexReplace",
    .display = "Regex Replace",
    .category = "utils/string",
    .doc = "Replaces what a pattern finds.",
    .inputs = sub_in,
    .outputs = string_out,
    .in_size = sizeof(SubIn),
    .out_size = sizeof(StringOut),
    .run = sub_run,
};

/* clang-format off */
const NodeDef *const text_nodes[] = {
    &substring_node,
    &length_node,
    &convert_node,
    &trim_node,
    &replace_node,
    &contains_node,
    &compare_node,
    &match_node,
    &extract_node,
    &sub_node,
    NULL,
};
/* clang-format on */
