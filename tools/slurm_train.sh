#!/usr/bin/env bash
# Train on a Slurm cluster: one task per GPU, on as many machines as that takes.
# bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]
# GPUS (4 in all), GPUS_PER_NODE (at most 4), CPUS_PER_TASK (5), SRUN_ARGS (more for srun), PY_ARGS (more
# for tools/train.py), PORT (where the tasks meet; one is drawn) and STOP_SIGNAL (what Slurm sends before the
# time is over; USR1@120, two minutes) are environment variables.
# Exit status 75 means that the run was asked to stop and has saved: a batch job is queued again then.
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

STOP_SIGNAL=${STOP_SIGNAL-USR1@120}
source "$(dirname "$0")/slurm_srun.sh"
slurm_srun "$PARTITION" "$JOB_NAME" \
    "$HERE/train.py" "$CONFIG" --launcher slurm "${WORK_DIR[@]}" $PY_ARGS "$@"
STATUS=$?
if [ "$STATUS" -eq 75 ] && [ -n "${SLURM_JOB_ID:-}" ] && command -v scontrol >/dev/null; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$STATUS"
