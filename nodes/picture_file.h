/* picture_file.h - reading and writing picture files for the image nodes. */
#ifndef WEFT_NODES_PICTURE_FILE_H
#define WEFT_NODES_PICTURE_FILE_H

#include "engine/graph/node.h"
#include "engine/residency/host.h"
#include "engine/tensor/tensor.h"
#include "nodes/metadata.h"

/* A file of the input folder: image [frames,H,W,3] and mask 1 - alpha [frames,H,W], or 64x64 zeros when
 * the file has no alpha. A dummy run reads the header only and gives zeros. */
Status picture_load(Host *host, const char *name, Tensor **image, Tensor **mask, Error *err);

/* One channel (0 red .. 3 alpha, inverted) as a mask [frames,H,W]. */
Status picture_load_channel(Host *host, const char *name, int channel, Tensor **mask,
                            Error *err);

/* Where pictures of a node go. */
typedef struct PictureTarget {
    const char *folder; /* output or temp folder */
    const char *prefix;
    const char *type; /* "output", "temp", for the UI record */
    const char *key;  /* list of the UI record; NULL = "images" */
} PictureTarget;

/* Writes each picture of the batch [B,H,W,C] as PNG with ComfyUI's name, samples truncated to 8 bit. */
Status picture_save(NodeCall *call, const Tensor *images, const PictureTarget *target,
                    const Metadata *meta);

/* The same in the temp folder, as `<name>_temp_<five letters>`. */
Status picture_preview(NodeCall *call, const Tensor *images, const char *name, const char *key,
                       const Metadata *meta);

#endif
