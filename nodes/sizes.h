/* sizes.h - what values weigh in memory, for caches that are bounded by bytes. */
#ifndef WEFT_NODES_SIZES_H
#define WEFT_NODES_SIZES_H

#include "engine/graph/value.h"

/* Bytes of tensors and texts behind a value; 0 for models and others whose weights lie in mapped files. What
 * two values share is counted for both. */
int64_t nodes_value_bytes(const Value *v);

#endif
