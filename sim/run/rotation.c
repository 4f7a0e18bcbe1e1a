/* rotation.c - copy inputs, and turn from one copy to the next. */
#include "sim/run/rotation.h"

int64_t sps_rotation_sets(size_t bytes, size_t cache_bytes, size_t room)
{
    size_t wanted = bytes ? (2 * cache_bytes + bytes - 1) / bytes : 0;
    size_t fit = bytes ? 1 + room / bytes : 1;

    wanted = wanted < 2 ? 2 : wanted;
    wanted = wanted < SPS_SETS_MAX ? wanted : SPS_SETS_MAX;
    return (int64_t)(wanted < fit ? wanted : fit);
}

enum sps_status sps_rotation_open(const struct sps_input *input, size_t room,
                                  struct sps_rotation *rotation)
{
    int64_t wanted = sps_rotation_sets(input->bytes, input->dev->cache_bytes, room);

    *rotation = (struct sps_rotation){.sets = 1};
    while (rotation->sets < wanted) {
        struct sps_input *copy = &rotation->copy[rotation->sets - 1];
        enum sps_status status = sps_input_copy(input, copy);
        if (status != SPS_OK) {
            sps_input_free(copy);
            return status == SPS_ENOMEM ? SPS_OK : status;
        }
        rotation->sets++;
    }
    return SPS_OK;
}

void sps_rotation_close(struct sps_rotation *rotation)
{
    for (int64_t i = 1; i < rotation->sets; i++)
        sps_input_free(&rotation->copy[i - 1]);
    *rotation = (struct sps_rotation){0};
}

enum sps_status sps_rotation_run(struct sps_rotation *rotation,
                                 enum sps_status (*run)(struct sps_pass *,
                                                        struct sps_trace *),
                                 struct sps_pass *pass, struct sps_trace *trace)
{
    const struct sps_problem *own = pass->plan.problem;
    int64_t set = rotation->turn++ % rotation->sets;

    sps_pass_use(pass, set ? &rotation->copy[set - 1].problem : own);
    enum sps_status status = run(pass, trace);
    sps_pass_use(pass, own);
    return status;
}
