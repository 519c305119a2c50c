/* pickle.h - the tensors of files that torch.save wrote, without running what else is in them.
 *
 * A zip archive (since PyTorch 1.6) or a row of bare pickles with the data behind them. The pickle is a program; of its
 * instructions only those that build plain data are followed, and of its calls only those that make tensors and ordered
 * dictionaries; every other object becomes one that nothing can be done with.
 * A dictionary that holds one of model_state_dict, state_dict, params_ema, params-ema, params, model, net stands for it.
 * Source: Python's pickletools; torch/serialization.
 */
#ifndef WEFT_FORMATS_PICKLE_H
#define WEFT_FORMATS_PICKLE_H

#include "engine/formats/safetensors.h"

bool pickle_is_one(const uint8_t *bytes, size_t size);
/* Tensors by name, data borrowed from bytes. Errors: E_FORMAT with the offset, E_UNSUPPORTED (a tensor that does not lie
 * in one piece; a compressed archive), E_LIMIT, E_NOMEM. safetensors_free frees it. */
Status pickle_parse(const uint8_t *bytes, size_t size, SafeTensors **out, Error *err);

#endif
