#!/bin/bash
# A SLURM cluster of two nodes on this machine, for tests: scripts/slurm_cluster.sh install | start DIR | stop DIR
#
# `install` adds Debian's packages (it needs root). `start` writes keys, configuration, state and logs under DIR and
# prints what to export; `stop` ends what `start` began. Nothing else on the machine is touched.
set -euo pipefail

install() {
    command -v slurmctld slurmd munged sbatch >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

configure() {
    local dir=$1 host cpus memory
    host=$(hostname -s)
    cpus=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.8)}' /proc/meminfo)
    mkdir -p "$dir/state" "$dir/spool" "$dir/munge"
    chmod 700 "$dir/munge"
    (umask 077 && head -c 128 /dev/urandom >"$dir/munge/key")
    # cred_expire: a requeued job waits that long. partition_prio: jobs in `urgent` push those in `main` aside.
    cat >"$dir/slurm.conf" <<CONF
ClusterName=focus
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=20
MinJobAge=300
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
NodeName=first NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=$cpus RealMemory=$memory State=UNKNOWN
NodeName=second NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=first Default=YES MaxTime=1-00:00:00 State=UP PriorityTier=1
PartitionName=urgent Nodes=first MaxTime=1-00:00:00 State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=pair Nodes=first,second MaxTime=1-00:00:00 State=UP PriorityTier=1
CONF
}

start() {
    local dir=$1 tries
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    configure "$dir"
    munged --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
        --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" --force 2>>"$dir/munge/warnings"
    export SLURM_CONF=$dir/slurm.conf
    slurmctld -i
    slurmd -N first
    slurmd -N second
    for ((tries = 0; tries < 300; tries++)); do
        if [ "$(sinfo --noheader --Node --partition=pair --format=%T 2>/dev/null | grep -c idle)" = 2 ]; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.1
    done
    echo "the nodes did not come up:" >&2
    tail -n 20 "$dir"/*.log >&2
    stop "$dir"
    exit 1
}

stop() {
    local dir=$1 name
    for name in slurmd.first slurmd.second slurmctld munge/; do
        local file=$dir/${name%/}.pid
        [ "$name" = munge/ ] && file=$dir/munge/pid
        if [ -s "$file" ]; then
            kill "$(cat "$file")" 2>/dev/null || true
        fi
    done
}

case ${1:-} in
install) install ;;
start | stop) "$1" "${2:?give the folder}" ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
