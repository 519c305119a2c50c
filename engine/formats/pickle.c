/* pickle.c - the tensors of files that torch.save wrote. */
#include "engine/formats/pickle.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/mem.h"
#include "engine/formats/archive.h"

enum { STACK_MAX = 1 << 20, ITEMS_MAX = 1 << 22, KEY_MAX = 512, DIMS_MAX = 8 };

typedef enum Kind {
    OTHER, /* anything that is of no use here */
    INTEGER,
    TEXT,
    MARK,
    SEQUENCE, /* tuple or list */
    DICTIONARY,
    NAME, /* "module name" of a class or function */
    STORAGE,
    TENSOR
} Kind;

typedef struct Item Item;

/* Items of a sequence, or keys and values in turn. */
typedef struct Items {
    Item **list; /* from mem; all lists are freed at the end */
    size_t count, capacity;
    struct Items *next;
} Items;

struct Item {
    Kind kind;
    int64_t integer;  /* INTEGER; STORAGE: elements; TENSOR: first element */
    const char *text; /* TEXT, NAME: in the arena, ended; STORAGE: key */
    size_t length;
    Items *items; /* SEQUENCE, DICTIONARY */
    KDtype type;  /* STORAGE */
    const char *dtype;
    Item *storage; /* TENSOR */
    int ndim;
    int64_t shape[DIMS_MAX];
    const uint8_t *data; /* STORAGE: filled in later */
    size_t size;
};

typedef struct Machine {
    const uint8_t *bytes;
    size_t size, at;
    Arena *arena; /* borrowed */
    Item **stack; /* owned */
    size_t depth, stack_capacity;
    Item **memo; /* owned */
    size_t memo_count, memo_capacity;
    Items *all; /* owned; every list that was made */
    size_t made;
    bool stopped;
    Error *err;
} Machine;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory while reading a pickle");
}

static Status broken(const Machine *m, const char *what)
{
    error_set(m->err, E_FORMAT, "the pickle is broken: %s", what);
    if (m->err) m->err->offset = (int64_t)m->at;
    return E_FORMAT;
}

/* ---- values ------------------------------------------------------------------------------------------ */

static Status new_item(Machine *m, Kind kind, Item **out)
{
    if (m->made++ >= ITEMS_MAX)
        return error_set(m->err, E_LIMIT, "the pickle holds more than %d values", ITEMS_MAX);
    Item *i = arena_alloc(m->arena, sizeof *i);
    if (!i) return no_memory(m->err);
    *i = (Item){ .kind = kind };
    *out = i;
    return OK;
}

static Status new_list(Machine *m, Kind kind, Item **out)
{
    TRY(new_item(m, kind, out));
    Items *items = arena_alloc(m->arena, sizeof *items);
    if (!items) return no_memory(m->err);
    *items = (Items){ .next = m->all };
    m->all = items;
    (*out)->items = items;
    return OK;
}

static Status add(Machine *m, Items *items, Item *item)
{
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? items->capacity * 2 : 8;
        Item **list = mem_realloc(items->list, capacity * sizeof *list);
        if (!list) return no_memory(m->err);
        items->list = list;
        items->capacity = capacity;
    }
    items->list[items->count++] = item;
    return OK;
}

static Status push(Machine *m, Item *item)
{
    if (m->depth == m->stack_capacity) {
        size_t capacity = m->stack_capacity ? m->stack_capacity * 2 : 256;
        if (capacity > STACK_MAX) return broken(m, "its stack grows too large");
        Item **stack = mem_realloc(m->stack, capacity * sizeof *stack);
        if (!stack) return no_memory(m->err);
        m->stack = stack;
        m->stack_capacity = capacity;
    }
    m->stack[m->depth++] = item;
    return OK;
}

static Status push_kind(Machine *m, Kind kind)
{
    Item *i = NULL;
    TRY(new_item(m, kind, &i));
    return push(m, i);
}

static Status push_integer(Machine *m, int64_t v)
{
    Item *i = NULL;
    TRY(new_item(m, INTEGER, &i));
    i->integer = v;
    return push(m, i);
}

static Status pop(Machine *m, Item **out)
{
    if (m->depth == 0) return broken(m, "its stack is empty");
    *out = m->stack[--m->depth];
    return OK;
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

static Status take(Machine *m, size_t n, const uint8_t **out)
{
    if (n > m->size - m->at) return broken(m, "it ends early");
    *out = m->bytes + m->at;
    m->at += n;
    return OK;
}

static Status number(Machine *m, int bytes, uint64_t *out)
{
    const uint8_t *p = NULL;
    TRY(take(m, (size_t)bytes, &p));
    *out = 0;
    for (int i = 0; i < bytes; i++)
        *out |= (uint64_t)p[i] << (8 * i);
    return OK;
}

static Status push_text(Machine *m, Kind kind, const uint8_t *p, size_t n)
{
    Item *i = NULL;
    TRY(new_item(m, kind, &i));
    i->text = arena_strndup(m->arena, (const char *)p, n);
    i->length = n;
    return i->text ? push(m, i) : no_memory(m->err);
}

static Status counted_text(Machine *m, int bytes)
{
    uint64_t n = 0;
    const uint8_t *p = NULL;
    TRY(number(m, bytes, &n));
    if (n > m->size) return broken(m, "a text is longer than the file");
    TRY(take(m, (size_t)n, &p));
    return push_text(m, TEXT, p, (size_t)n);
}

/* Little-endian, signed, any length; what does not fit is of no use here. */
static Status long_number(Machine *m, int count_bytes)
{
    uint64_t n = 0, v = 0;
    const uint8_t *p = NULL;
    TRY(number(m, count_bytes, &n));
    if (n > m->size) return broken(m, "a number is longer than the file");
    TRY(take(m, (size_t)n, &p));
    if (n > 8) return push_kind(m, OTHER);
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    if (n > 0 && n < 8 && p[n - 1] & 0x80) v |= ~(uint64_t)0 << (8 * n);
    int64_t s;
    memcpy(&s, &v, sizeof s);
    return push_integer(m, s);
}

static Status line(Machine *m, const uint8_t **out, size_t *n)
{
    const uint8_t *end = memchr(m->bytes + m->at, '\n', m->size - m->at);
    if (!end) return broken(m, "a line has no end");
    *out = m->bytes + m->at;
    *n = (size_t)(end - *out);
    m->at += *n + 1;
    return OK;
}

/* "module name" of GLOBAL's two lines. */
static Status push_name(Machine *m, const char *module, size_t a, const char *name, size_t b)
{
    Item *i = NULL;
    TRY(new_item(m, NAME, &i));
    if (a > KEY_MAX || b > KEY_MAX) return broken(m, "a name is too long");
    i->text = arena_printf(m->arena, "%.*s %.*s", (int)a, module, (int)b, name);
    return i->text ? push(m, i) : no_memory(m->err);
}

static Status global_lines(Machine *m)
{
    const uint8_t *module = NULL, *name = NULL;
    size_t a = 0, b = 0;
    TRY(line(m, &module, &a));
    TRY(line(m, &name, &b));
    return push_name(m, (const char *)module, a, (const char *)name, b);
}

static Status global_stack(Machine *m)
{
    Item *name = NULL, *module = NULL;
    TRY(pop(m, &name));
    TRY(pop(m, &module));
    if (name->kind != TEXT || module->kind != TEXT) return push_kind(m, OTHER);
    return push_name(m, module->text, module->length, name->text, name->length);
}

/* ---- lists and dictionaries ----------------------------------------------------------------------------- */

static Status find_mark(Machine *m, size_t *at)
{
    for (*at = m->depth; *at > 0; --*at)
        if (m->stack[*at - 1]->kind == MARK) return OK;
    return broken(m, "a mark is missing");
}

/* What stands above the last mark goes into a new sequence, or the one (dictionary) below the mark. */
static Status gather(Machine *m, bool fresh, Kind kind)
{
    size_t at = 0;
    Item *to = NULL;
    TRY(find_mark(m, &at));
    if (fresh)
        TRY(new_list(m, kind, &to));
    else if (at < 2)
        return broken(m, "its stack is empty");
    else
        to = m->stack[at - 2];
    for (size_t i = at; to->items && i < m->depth; i++)
        TRY(add(m, to->items, m->stack[i]));
    m->depth = at - 1;
    return fresh ? push(m, to) : OK;
}

static Status tuple_of(Machine *m, size_t n)
{
    Item *to = NULL;
    if (m->depth < n) return broken(m, "its stack is empty");
    TRY(new_list(m, SEQUENCE, &to));
    for (size_t i = m->depth - n; i < m->depth; i++)
        TRY(add(m, to->items, m->stack[i]));
    m->depth -= n;
    return push(m, to);
}

/* The n topmost go into what lies below them. */
static Status append(Machine *m, size_t n)
{
    if (m->depth < n + 1) return broken(m, "its stack is empty");
    Item *to = m->stack[m->depth - n - 1];
    for (size_t i = m->depth - n; to->items && i < m->depth; i++)
        TRY(add(m, to->items, m->stack[i]));
    m->depth -= n;
    return OK;
}

static Status push_list(Machine *m, Kind kind)
{
    Item *i = NULL;
    TRY(new_list(m, kind, &i));
    return push(m, i);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

static Item *argument(const Item *args, size_t i)
{
    return args->items && i < args->items->count ? args->items->list[i] : NULL;
}

static bool is_integer(const Item *i)
{
    return i && i->kind == INTEGER;
}

/* torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...) */
static Status rebuild_tensor(Machine *m, const Item *args)
{
    Item *t = NULL, *storage = argument(args, 0), *offset = argument(args, 1),
         *size = argument(args, 2), *stride = argument(args, 3);
    if (!storage || storage->kind != STORAGE || !is_integer(offset) || !size || !size->items ||
        !stride || !stride->items || size->items->count != stride->items->count ||
        size->items->count > DIMS_MAX)
        return push_kind(m, OTHER);
    TRY(new_item(m, TENSOR, &t));
    t->storage = storage;
    t->integer = offset->integer;
    t->ndim = (int)size->items->count;
    int64_t expected = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        const Item *n = size->items->list[i], *s = stride->items->list[i];
        if (!is_integer(n) || !is_integer(s) || n->integer < 0) return push_kind(m, OTHER);
        t->shape[i] = n->integer;
        if (n->integer > 1 && s->integer != expected) t->dtype = "scattered";
        if (__builtin_mul_overflow(expected, n->integer ? n->integer : 1, &expected))
            return broken(m, "a tensor is too large");
    }
    return push(m, t);
}

static bool is_name(const Item *i, const char *name)
{
    return i->kind == NAME && strcmp(i->text, name) == 0;
}

static Status reduce(Machine *m)
{
    Item *args = NULL, *callable = NULL;
    TRY(pop(m, &args));
    TRY(pop(m, &callable));
    if (is_name(callable, "torch._utils _rebuild_tensor_v2") ||
        is_name(callable, "torch._utils _rebuild_tensor"))
        return rebuild_tensor(m, args);
    if (is_name(callable, "collections OrderedDict")) return push_list(m, DICTIONARY);
    if (is_name(callable, "torch._utils _rebuild_parameter") && argument(args, 0))
        return push(m, argument(args, 0));
    return push_kind(m, OTHER);
}

static const struct StorageType {
    const char *name, *dtype;
    KDtype type;
} storage_types[] = {
    { "torch FloatStorage", "F32", K_F32 },      { "torch HalfStorage", "F16", K_F16 },
    { "torch BFloat16Storage", "BF16", K_BF16 }, { "torch DoubleStorage", "F64", K_F64 },
    { "torch LongStorage", "I64", K_I64 },       { "torch IntStorage", "I32", K_I32 },
    { "torch CharStorage", "I8", K_I8 },         { "torch ByteStorage", "U8", K_U8 },
};

/* ('storage', type, key, location, elements, ...) */
static Status persistent(Machine *m)
{
    Item *id = NULL, *s = NULL;
    TRY(pop(m, &id));
    const Item *type = argument(id, 1), *key = argument(id, 2), *count = argument(id, 4);
    TRY(new_item(m, OTHER, &s));
    if (!type || type->kind != NAME || !key || key->kind != TEXT || !is_integer(count))
        return push(m, s);
    for (size_t i = 0; i < sizeof storage_types / sizeof *storage_types; i++) {
        if (strcmp(storage_types[i].name, type->text) != 0) continue;
        s->kind = STORAGE;
        s->type = storage_types[i].type;
        s->dtype = storage_types[i].dtype;
        s->text = key->text;
        s->integer = count->integer;
    }
    return push(m, s);
}

static Status remember(Machine *m, uint64_t at)
{
    if (m->depth == 0) return broken(m, "its stack is empty");
    if (at >= ITEMS_MAX) return broken(m, "its memory grows too large");
    if (at >= m->memo_capacity) {
        size_t capacity = m->memo_capacity ? m->memo_capacity : 256;
        while (capacity <= at)
            capacity *= 2;
        Item **memo = mem_realloc(m->memo, capacity * sizeof *memo);
        if (!memo) return no_memory(m->err);
        memset(memo + m->memo_capacity, 0, (capacity - m->memo_capacity) * sizeof *memo);
        m->memo = memo;
        m->memo_capacity = capacity;
    }
    if (at >= m->memo_count) m->memo_count = (size_t)at + 1;
    m->memo[at] = m->stack[m->depth - 1];
    return OK;
}

static Status recall(Machine *m, uint64_t at)
{
    if (at >= m->memo_count || !m->memo[at]) return broken(m, "it recalls what it never kept");
    return push(m, m->memo[at]);
}

static Status numbered(Machine *m, int bytes, Status (*act)(Machine *m, uint64_t at))
{
    uint64_t at = 0;
    TRY(number(m, bytes, &at));
    return act(m, at);
}

static Status integer(Machine *m, int bytes)
{
    uint64_t v = 0;
    TRY(number(m, bytes, &v));
    return push_integer(m, bytes == 4 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

static Status skip(Machine *m, size_t n)
{
    const uint8_t *p = NULL;
    return take(m, n, &p);
}

static Status opaque(Machine *m, size_t payload)
{
    TRY(skip(m, payload));
    return push_kind(m, OTHER);
}

static Status drop(Machine *m)
{
    Item *i = NULL;
    return pop(m, &i);
}

/* obj state BUILD: attributes are of no use. cls args NEWOBJ: an object of a class. */
static Status new_object(Machine *m)
{
    TRY(drop(m));
    TRY(drop(m));
    return push_kind(m, OTHER);
}

static Status step(Machine *m, uint8_t op)
{
    switch (op) {
    case 0x80: /* PROTO */
        return skip(m, 1);
    case 0x95: /* FRAME */
        return skip(m, 8);
    case '(':
        return push_kind(m, MARK);
    case '}':
        return push_list(m, DICTIONARY);
    case ']':
    case ')':
        return push_list(m, SEQUENCE);
    case 't':
    case 'l':
        return gather(m, true, SEQUENCE);
    case 'd':
        return gather(m, true, DICTIONARY);
    case 'u': /* SETITEMS */
    case 'e': /* APPENDS */
        return gather(m, false, OTHER);
    case 's': /* SETITEM */
        return append(m, 2);
    case 'a': /* APPEND */
        return append(m, 1);
    case 0x85:
    case 0x86:
    case 0x87:
        return tuple_of(m, (size_t)op - 0x84);
    case 'q':
        return numbered(m, 1, remember);
    case 'r':
        return numbered(m, 4, remember);
    case 0x94: /* MEMOIZE */
        return remember(m, m->memo_count);
    case 'h':
        return numbered(m, 1, recall);
    case 'j':
        return numbered(m, 4, recall);
    case 'X':
    case 'T':
        return counted_text(m, 4);
    case 0x8c:
    case 'U':
        return counted_text(m, 1);
    case 0x8d:
        return counted_text(m, 8);
    case 'J':
        return integer(m, 4);
    case 'K':
        return integer(m, 1);
    case 'M':
        return integer(m, 2);
    case 0x8a:
        return long_number(m, 1);
    case 0x8b:
        return long_number(m, 4);
    case 'G':
        return opaque(m, 8);
    case 'N':
    case 0x88:
    case 0x89:
        return opaque(m, 0);
    case 'c':
        return global_lines(m);
    case 0x93:
        return global_stack(m);
    case 'Q':
        return persistent(m);
    case 'R':
        return reduce(m);
    case 0x81:
        return new_object(m);
    case 'b':
    case '0':
        return drop(m);
    case '.':
        m->stopped = true;
        return OK;
    default:
        error_set(m->err, E_UNSUPPORTED,
                  "the pickle has an instruction 0x%02x that is not read here", op);
        error_fix(m->err, "convert the file to .safetensors");
        return E_UNSUPPORTED;
    }
}

/* Runs one pickle from m->at on; *out is what it made. */
static Status run(Machine *m, Item **out)
{
    m->depth = m->memo_count = 0;
    m->stopped = false;
    while (!m->stopped) {
        const uint8_t *op = NULL;
        TRY(take(m, 1, &op));
        TRY(step(m, *op));
    }
    return pop(m, out);
}

static void machine_fini(Machine *m)
{
    for (Items *i = m->all; i; i = i->next)
        mem_free(i->list);
    mem_free(m->stack);
    mem_free(m->memo);
}

/* ---- where the data lie ------------------------------------------------------------------------------------- */

typedef struct Reader {
    const uint8_t *bytes;
    size_t size;
    Archive archive;
    char folder[KEY_MAX]; /* of the archive's entries, with the slash */
    Machine machine;
    Item *storages; /* of bare files: keys in order with their data */
    size_t n_storages;
    SafeTensors *out; /* owned until the end */
    Error *err;
} Reader;

/* The value of a key that is a text; NULL when there is none. */
static Item *member(const Item *dict, const char *key)
{
    for (size_t i = 0; dict->items && i + 1 < dict->items->count; i += 2) {
        const Item *k = dict->items->list[i];
        if (k->kind == TEXT && strcmp(k->text, key) == 0) return dict->items->list[i + 1];
    }
    return NULL;
}

static const Item *weights_of(const Item *root)
{
    static const char *const keys[] = {
        "model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net"
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const Item *inner = member(root, keys[i]);
        if (inner && inner->kind == DICTIONARY) return inner;
    }
    return root;
}

static Status find_data(Reader *r, Item *storage)
{
    size_t n = 0;
    if (storage->data) return OK;
    if (r->archive.bytes) {
        char name[2 * KEY_MAX];
        snprintf(name, sizeof name, "%sdata/%.400s", r->folder, storage->text);
        TRY(archive_find(&r->archive, name, &storage->data, &n, r->err));
        storage->size = n;
        return OK;
    }
    for (size_t i = 0; i < r->n_storages; i++) {
        if (strcmp(r->storages[i].text, storage->text) != 0) continue;
        storage->data = r->storages[i].data;
        storage->size = r->storages[i].size;
        return OK;
    }
    return error_set(r->err, E_FORMAT, "the data '%.80s' are not in the file", storage->text);
}

static Status add_tensor(Reader *r, const char *name, const Item *t)
{
    SafeTensor *s = &r->out->tensors[r->out->count];
    int64_t count = 1, *shape = arena_array(r->out->arena, (size_t)t->ndim + 1, sizeof *shape);
    size_t width = k_row_bytes(t->storage->type, 1);
    if (!shape) return no_memory(r->err);
    if (t->dtype) {
        error_set(r->err, E_UNSUPPORTED, "the tensor '%.80s' does not lie in one piece", name);
        error_fix(r->err, "convert the file to .safetensors");
        return E_UNSUPPORTED;
    }
    TRY(find_data(r, t->storage));
    for (int i = 0; i < t->ndim; i++) {
        shape[i] = t->shape[i];
        count *= t->shape[i];
    }
    size_t all = t->storage->size / width;
    if (t->integer < 0 || (uint64_t)t->integer > all ||
        (uint64_t)count > all - (size_t)t->integer)
        return error_set(r->err, E_FORMAT, "the tensor '%.80s' lies outside its data", name);
    *s = (SafeTensor){ .name = name,
                       .dtype = t->storage->dtype,
                       .type = t->storage->type,
                       .ndim = t->ndim,
                       .shape = shape,
                       .count = count,
                       .data = t->storage->data + (size_t)t->integer * width,
                       .size = (size_t)count * width };
    r->out->count++;
    return OK;
}

static Status collect(Reader *r, const Item *root)
{
    const Item *dict = weights_of(root);
    size_t n = dict->items ? dict->items->count : 0;
    r->out->tensors = arena_array(r->out->arena, n / 2 + 1, sizeof *r->out->tensors);
    if (!r->out->tensors) return no_memory(r->err);
    for (size_t i = 0; dict->kind == DICTIONARY && i + 1 < n; i += 2) {
        const Item *key = dict->items->list[i], *value = dict->items->list[i + 1];
        if (key->kind == TEXT && value->kind == TENSOR) TRY(add_tensor(r, key->text, value));
    }
    if (r->out->count > 0) return OK;
    return error_set(r->err, E_FORMAT, "the file holds no dictionary of tensors");
}

/* ---- the two containers ---------------------------------------------------------------------------------------- */

static Status read_archive(Reader *r)
{
    const uint8_t *pickle = NULL;
    size_t n = 0;
    Item *root = NULL;
    TRY(archive_open(r->bytes, r->size, &r->archive, r->err));
    TRY(archive_find_end(&r->archive, "/data.pkl", r->folder, sizeof r->folder, &pickle, &n,
                         r->err));
    r->machine.bytes = pickle;
    r->machine.size = n;
    TRY(run(&r->machine, &root));
    return collect(r, root);
}

/* Behind the pickles: per key the number of elements and the data. */
static Status place_data(Reader *r, const Item *keys, const Item *root)
{
    const Item *dict = weights_of(root);
    size_t n = keys->items ? keys->items->count : 0;
    r->storages = arena_array(r->out->arena, n + 1, sizeof *r->storages);
    if (!r->storages) return no_memory(r->err);
    for (size_t i = 0; i < n; i++) {
        const Item *key = keys->items->list[i];
        size_t width = 0;
        uint64_t count = 0;
        if (key->kind != TEXT) return broken(&r->machine, "a key is no text");
        for (size_t k = 1; dict->items && k < dict->items->count && !width; k += 2) {
            const Item *t = dict->items->list[k];
            if (t->kind == TENSOR && strcmp(t->storage->text, key->text) == 0)
                width = k_row_bytes(t->storage->type, 1);
        }
        if (!width) /* its size is not known, so nothing behind it can be found */
            return error_set(r->err, E_UNSUPPORTED, "the file holds data of an unknown type");
        TRY(number(&r->machine, 8, &count));
        if (count > (r->size - r->machine.at) / width)
            return broken(&r->machine, "it ends early");
        r->storages[i] = (Item){ .text = key->text, .size = (size_t)count * width };
        TRY(take(&r->machine, r->storages[i].size, &r->storages[i].data));
        r->n_storages++;
    }
    return OK;
}

static Status read_bare(Reader *r)
{
    Item *ignored = NULL, *root = NULL, *keys = NULL;
    r->machine.bytes = r->bytes;
    r->machine.size = r->size;
    for (int i = 0; i < 3; i++) /* magic number, version, machine */
        TRY(run(&r->machine, &ignored));
    TRY(run(&r->machine, &root));
    TRY(run(&r->machine, &keys));
    TRY(place_data(r, keys, root));
    return collect(r, root);
}

static bool is_archive(const uint8_t *bytes, size_t size)
{
    return size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
}

bool pickle_is_one(const uint8_t *bytes, size_t size)
{
    return is_archive(bytes, size) ||
           (size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5);
}

Status pickle_parse(const uint8_t *bytes, size_t size, SafeTensors **out, Error *err)
{
    Reader *r = mem_calloc(1, sizeof *r);
    Status status = OK;
    if (!r) return no_memory(err);
    r->bytes = bytes;
    r->size = size;
    r->err = err;
    r->machine.err = err;
    Arena *arena = arena_new();
    r->out = arena ? arena_alloc(arena, sizeof *r->out) : NULL; /* lies in its own arena */
    if (!r->out) {
        arena_free(arena);
        status = no_memory(err);
        goto done;
    }
    *r->out = (SafeTensors){ .arena = arena };
    r->machine.arena = r->out->arena;
    TRY_DONE(is_archive(bytes, size) ? read_archive(r) : read_bare(r));
    *out = r->out;
    r->out = NULL;
done:
    machine_fini(&r->machine);
    safetensors_free(r->out);
    mem_free(r);
    return status;
}
