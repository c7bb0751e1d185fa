#!/usr/bin/env bash
# A real Slurm on this host, for as long as a test needs it: munged, slurmctld and slurmd.
#
#   one_host.sh start FOLDER    then SLURM_CONF=FOLDER/slurm.conf sinfo, sbatch, squeue, ...
#   one_host.sh stop FOLDER
#
# Needs root and the packages slurm-wlm and munge (Debian, Ubuntu). Keys, logs, sockets and state
# are in FOLDER; nothing else of the system is touched. FOLDER's path must be short: sockets.
set -euo pipefail

start() {
    local folder=$1 host cores port
    host=$(hostname -s)
    cores=$(nproc)
    port=$((20000 + RANDOM % 20000))
    mkdir -p "$folder"/{state,spool,munge}
    # munge insists that nobody else can write to its folder
    chmod 755 "$folder" "$folder/munge"
    head -c 1024 /dev/urandom >"$folder/munge/key"
    chmod 400 "$folder/munge/key"
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
        --pid-file="$folder/munge/munged.pid" --log-file="$folder/munge/munged.log" \
        --seed-file="$folder/munge/seed"
    cat >"$folder/slurm.conf" <<CONF
ClusterName=one_host
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
# a requeued job waits for cred_expire seconds
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=10
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SchedulerParameters=bf_interval=1,sched_interval=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    slurmctld -f "$folder/slurm.conf"
    slurmd -f "$folder/slurm.conf"
    for _ in $(seq 60); do
        if SLURM_CONF=$folder/slurm.conf sinfo --noheader --format=%t 2>/dev/null | grep -q idle; then
            return
        fi
        sleep 0.5
    done
    echo "the node did not become idle within 30 s; see $folder/slurmd.log" >&2
    stop "$folder"
    return 1
}

stop() {
    local folder=$1 file
    for file in "$folder"/slurmd.pid "$folder"/slurmctld.pid "$folder"/munge/munged.pid; do
        if [ -f "$file" ]; then
            kill "$(cat "$file")" 2>/dev/null || true
        fi
    done
}

case ${1:-} in
start | stop) "$1" "$(realpath -m "${2:?expected a folder}")" ;;
*) sed -n '2,9p' "$0" >&2 && exit 2 ;;
esac
