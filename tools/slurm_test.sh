#!/usr/bin/env bash
# Evaluate on a Slurm cluster: one task per GPU.
# bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
# GPUS (4 in all), GPUS_PER_NODE (at most 4), CPUS_PER_TASK (5), SRUN_ARGS (more for srun), PY_ARGS (more
# for tools/test.py) and PORT (where the tasks meet; one is drawn) are environment variables.
if [ "$#" -lt 4 ]; then
    echo "usage: [GPUS=4] [GPUS_PER_NODE=4] bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT" \
        "[arguments of tools/test.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
shift 4

STOP_SIGNAL=
source "$(dirname "$0")/slurm_srun.sh"
slurm_srun "$PARTITION" "$JOB_NAME" \
    "$HERE/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm $PY_ARGS "$@"
