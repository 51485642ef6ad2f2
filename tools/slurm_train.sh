#!/usr/bin/env bash
# Train on a Slurm cluster: one task per GPU, on as many machines as that takes.
# bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]
# GPUS (4 in all), GPUS_PER_NODE (at most 4), CPUS_PER_TASK (5), SRUN_ARGS (more for srun), PY_ARGS (more
# for tools/train.py) and PORT (where the tasks meet; one is drawn) are environment variables.
if [ "$#" -lt 3 ]; then
    echo "usage: [GPUS=4] [GPUS_PER_NODE=4] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR]" \
        "[arguments of tools/train.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
shift 3
WORK_DIR=()
if [ "$#" -gt 0 ] && [ "${1#-}" = "$1" ]; then
    WORK_DIR=(--work-dir "$1")
    shift
fi

source "$(dirname "$0")/slurm_srun.sh"
slurm_srun "$PARTITION" "$JOB_NAME" \
    "$HERE/train.py" "$CONFIG" --launcher slurm "${WORK_DIR[@]}" $PY_ARGS "$@"
