/* recording.h - an open recording, between the files that read it. */
#ifndef SPS_DATASETS_RECORDING_H
#define SPS_DATASETS_RECORDING_H

#include "datasets/dataset.h"
#include "datasets/safetensors.h"

enum recording_part {
    PART_Q,
    PART_K,
    PART_V,
    PART_GATE,
    PART_INDEX,
    PART_W_K,
    PART_W_V,
    PART_PE_K,
    PART_DO,
    PART_Q_IDX,
    PART_K_IDX,
    PART_W_IDX,
    PART_COUNT
};

struct recording_layer {
    int64_t number;
    int64_t t, s, h, g, dk, dv;
    struct sps_tensor part[PART_COUNT]; /* views of the map; data NULL: absent */
};

struct sps_recording {
    char *path;
    struct sps_safetensors *file;
    struct recording_layer *layers; /* [count], ascending */
    int64_t *numbers;               /* [count] */
    int64_t count;
    double scale;        /* 0: 1/sqrt(dk) */
    int64_t index_block; /* 0: no layer has an index */
    char *sha256;        /* [65], of the file; "" until a slice was loaded */
};

const struct recording_layer *sps_recording_layer(const struct sps_recording *rec,
                                                  int64_t number); /* NULL: none */

#endif
