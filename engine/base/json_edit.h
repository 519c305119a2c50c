/* json_edit.h - changes to the text of a JSON document that leave every other byte as it is.
 *
 * Changes are collected in groups (one group = one correction that makes sense only whole). A group that
 * touches what an accepted one touches is refused whole; the caller parses the new text and tries again.
 * White space, key order and number spelling outside the changed values stay; what is added takes over the
 * spacing of its neighbours.
 */
#ifndef WEFT_BASE_JSON_EDIT_H
#define WEFT_BASE_JSON_EDIT_H

#include "engine/base/json.h"

typedef struct JsonEdit JsonEdit;

/* text[offset, offset + length) becomes `with`. */
typedef struct TextEdit {
    int64_t offset, length;
    const char *with; /* owned by the JsonEdit */
} TextEdit;

/* The document is borrowed and must outlive the edit. */
Status json_edit_new(const JsonDoc *doc, JsonEdit **out, Error *err);
void json_edit_free(JsonEdit *e);

/* Starts a group. */
void json_edit_begin(JsonEdit *e);
/* Each adds one change to the group; values are of the document, texts are JSON and are copied. A change
 * that cannot be made (memory, a value of another document) spoils the group. Removing a value of a group
 * twice is once. */
void json_edit_replace(JsonEdit *e, const Json *value, const char *text);
void json_edit_remove(JsonEdit *e, const Json *value);
/* The group is right only as long as this value stays: use = what it holds may change, freeze = it may not. */
void json_edit_use(JsonEdit *e, const Json *value);
void json_edit_freeze(JsonEdit *e, const Json *value);
void json_edit_add_member(JsonEdit *e, const Json *object, const char *key, const char *text);
void json_edit_add_item(JsonEdit *e, const Json *array, const char *text);
/* Ends the group: true when it was taken, false when it was empty, spoilt or met another. */
bool json_edit_commit(JsonEdit *e);
void json_edit_cancel(JsonEdit *e);

/* Forgets all groups. */
void json_edit_reset(JsonEdit *e);

/* Number of groups taken. */
size_t json_edit_count(const JsonEdit *e);

/* The changes of all groups taken as byte ranges in order; they do not overlap. Lives until the next call. */
Status json_edit_list(JsonEdit *e, const TextEdit **out, size_t *count, Error *err);
/* The document's text after them. */
Status json_edit_apply(JsonEdit *e, Str *out, Error *err);

/* Bytes [*begin, *end) of a value in its document's text. */
void json_span(const JsonDoc *doc, const Json *value, size_t *begin, size_t *end);
/* The text of a value as the document writes it. */
void json_copy_source(Str *out, const JsonDoc *doc, const Json *value);

#endif
