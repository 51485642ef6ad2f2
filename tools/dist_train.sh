#!/usr/bin/env bash
# One process per GPU; where there is no GPU, GPUS processes on the CPU (gloo).
# bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT say how many, which one, where rank 0 is.
# MAX_RESTARTS: how often the group starts again by itself after a crash; 3 with --auto-resume, else 0.
if [ "$#" -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2
NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
PORT=${PORT:-29500}
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
if [ "$PORT" = 0 ]; then # any free port
    [ "$NNODES" = 1 ] || { echo "error: PORT=0 is for one machine; name a port that is free on MASTER_ADDR" >&2; exit 2; }
    PORT=$("${PYTHON:-python}" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
fi

HERE=$(dirname "$0")

case " $* " in
*" --auto-resume "*) MAX_RESTARTS=${MAX_RESTARTS:-3} ;;
*) MAX_RESTARTS=${MAX_RESTARTS:-0} ;;
esac
case $MAX_RESTARTS in
'' | *[!0-9]*) echo "error: MAX_RESTARTS is '$MAX_RESTARTS'; it must be a whole number, 0 or more" >&2 && exit 2 ;;
esac
if [ "$MAX_RESTARTS" -gt 0 ]; then
    # The machines meet again after each restart, at PORT of MASTER_ADDR, and any of them may get rank 0.
    MEET=(--rdzv_backend=c10d --rdzv_endpoint="$MASTER_ADDR:$PORT" --rdzv_id="${RUN_ID:-mmseg}")
    [ "$NNODES" = 1 ] || MEET+=(--rdzv_conf="is_host=$([ "$NODE_RANK" = 0 ] && echo 1 || echo 0)")
else
    MEET=(--node_rank="$NODE_RANK" --master_addr="$MASTER_ADDR" --master_port="$PORT")
fi
CORES=$(getconf _NPROCESSORS_ONLN)
# Without this torchrun gives every process a single thread.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((CORES > GPUS ? CORES / GPUS : 1))}

PYTHONPATH="$HERE/..${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m mmseg.utils.launch \
    --nnodes="$NNODES" \
    "${MEET[@]}" \
    --max_restarts="$MAX_RESTARTS" \
    --nproc_per_node="$GPUS" \
    "$HERE/train.py" "$CONFIG" --launcher pytorch "$@"
