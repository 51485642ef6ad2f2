# What slurm_train.sh and slurm_test.sh share; sourced by both, no command of its own.
HERE=$(dirname "$0")
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 4 ? GPUS : 4))}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
PY_ARGS=${PY_ARGS:-}

for name in GPUS GPUS_PER_NODE CPUS_PER_TASK; do
    case ${!name} in
    '' | *[!0-9]* | 0) echo "error: $name is '${!name}'; it must be a whole number of at least 1" >&2 && exit 2 ;;
    esac
done
if ! command -v srun >/dev/null; then
    echo "error: there is no srun here; run this on a machine of the Slurm cluster, or use the dist_*.sh scripts" >&2
    exit 2
fi

# slurm_srun PARTITION JOB_NAME SCRIPT [arguments]: run SCRIPT once per GPU; gives its exit status.
slurm_srun() {
    local partition=$1 job_name=$2
    shift 2
    # Every task finds the same port in its environment; two jobs on one machine rarely draw the same.
    export PORT=${PORT:-$((20000 + RANDOM % 10000))}
    # SRUN_ARGS holds several words.
    PYTHONPATH="$HERE/..${PYTHONPATH:+:$PYTHONPATH}" srun -p "$partition" \
        --job-name="$job_name" \
        --gres=gpu:"$GPUS_PER_NODE" \
        --ntasks="$GPUS" \
        --ntasks-per-node="$GPUS_PER_NODE" \
        --cpus-per-task="$CPUS_PER_TASK" \
        --kill-on-bad-exit=1 \
        ${STOP_SIGNAL:+--signal="$STOP_SIGNAL"} \
        ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$@"
}
