#!/usr/bin/env bash
# One process per GPU; where there is no GPU, GPUS processes on the CPU (gloo).
# bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT say how many, which one, where rank 0 is.
if [ "$#" -lt 3 ]; then
    echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
shift 3
NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
PORT=${PORT:-29500}
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
if [ "$PORT" = 0 ]; then # any free port
    [ "$NNODES" = 1 ] || { echo "error: PORT=0 is for one machine; name a port that is free on MASTER_ADDR" >&2; exit 2; }
    PORT=$("${PYTHON:-python}" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
fi

HERE=$(dirname "$0")
CORES=$(getconf _NPROCESSORS_ONLN)
# Without this torchrun gives every process a single thread.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((CORES > GPUS ? CORES / GPUS : 1))}

PYTHONPATH="$HERE/..${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m mmseg.utils.launch \
    --nnodes="$NNODES" \
    --node_rank="$NODE_RANK" \
    --master_addr="$MASTER_ADDR" \
    --master_port="$PORT" \
    --nproc_per_node="$GPUS" \
    "$HERE/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
