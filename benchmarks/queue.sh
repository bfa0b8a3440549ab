#!/usr/bin/env bash
# The long runs behind the evidence, one after another on every core, over days. Repeat the command after a reboot or a
# kill: a job whose result exists is skipped, and interrupted runs go on from their newest state. Linux.
#
#     benchmarks/queue.sh [LIST] [CORES]      default: benchmarks/jobs.sh, two cores
#     benchmarks/queue.sh --list [LIST]       what is done and what is left
#
# LIST is a bash file that calls, relative to the repository:
#
#     first RESULT 'COMMAND'      before all jobs, in this order, such as making data
#     job RESULT 'COMMAND'        a job; RESULT is the file that the command writes last
#
# Set QUEUE to the folder for logs and locks (default runs/queue), DATA to that of the real data sets (default data).
set -uo pipefail
self=$(realpath "$0")
show=false
if [ "${1:-}" = --list ]; then show=true; shift; fi
list=$(realpath "${1:-"$(dirname "$self")/jobs.sh"}")
cores=${2:-2}
cd "$(dirname "$self")/.."
export OMP_NUM_THREADS=1 DATA=${DATA:-data} QUEUE=${QUEUE:-runs/queue}
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 # a fifth of a training step on Linux
cimnet() { "${PYTHON:-python}" -m cimnet.cli "$@"; }
bench() { "${PYTHON:-python}" benchmarks/"$@"; }
export -f cimnet bench

results=() commands=() first_results=() first_commands=()
job() { results+=("$1") commands+=("$2"); }
first() { first_results+=("$1") first_commands+=("$2"); }

# shellcheck source=/dev/null
source "$list" || exit 2

if $show; then
    for result in "${first_results[@]}" "${results[@]}"; do [ -e "$result" ] && echo "done $result" || echo "left $result"; done
    exit
fi

mkdir -p "$QUEUE"
log() { echo "$(date -u +%FT%TZ) $*" | tee -a "$QUEUE/queue.log"; }
export -f log

# run RESULT COMMAND: unless its result exists or another worker has it. The lock goes with the process, however it ends.
run() {
    [ -e "$1" ] && return 0
    local name=${1//\//_}
    (
        flock -n 9 || exit 0
        [ -e "$1" ] && exit 0
        log "start $1"
        mkdir -p "$(dirname "$1")"
        if bash -c "$2" >> "$QUEUE/$name.log" 2>&1 < /dev/null && [ -e "$1" ]; then
            log "done $1"
        else
            log "FAILED $1: see $QUEUE/$name.log"
            exit 1
        fi
    ) 9> "$QUEUE/$name.lock"
}

worker() {
    renice -n 19 $BASHPID > /dev/null 2>&1 # for this process and what it starts
    # A scheduler that groups processes by session looks at the group's value alone. Workers are sessions of their own.
    { echo 19 > /proc/self/autogroup; } 2> /dev/null
    local failed=0
    if [ "$1" = first ]; then
        for i in "${!first_results[@]}"; do run "${first_results[i]}" "${first_commands[i]}" || return 1; done
        return 0
    fi
    for i in "${!results[@]}"; do run "${results[i]}" "${commands[i]}" || failed=1; done
    return $failed
}

if [ "${QUEUE_WORKER:-}" ]; then worker "$QUEUE_WORKER"; exit; fi

pids=()
stop() {
    trap - INT TERM # the second signal ends this at once
    log "stopping: runs save their state"
    for pid in "${pids[@]}"; do kill -TERM -- "-$pid" 2> /dev/null; done
    wait
    for _ in {1..600}; do # workers are gone, and what they started may still save
        alive=false
        for pid in "${pids[@]}"; do kill -0 -- "-$pid" 2> /dev/null && alive=true; done
        $alive || break
        sleep 0.5
    done
    exit 130
}
trap stop INT TERM

status=0
start() { # in a session of its own, so that a signal to its group reaches all that it started
    QUEUE_WORKER=$1 setsid "$self" "$list" "$cores" &
    pids+=($!)
}
start first
wait "${pids[0]}" || { log "a preparation failed: nothing was begun"; exit 1; }
pids=()
for core in $(seq "$cores"); do start "$core"; done
for pid in "${pids[@]}"; do wait "$pid" || status=1; done
log "the end: $(for r in "${results[@]}"; do [ -e "$r" ] && echo; done | wc -l) of ${#results[@]} jobs done"
exit $status
