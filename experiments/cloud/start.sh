#!/usr/bin/env bash
# Start a command that outlives this connection: its output goes to run.log, its process number to run.pid.
#   bash experiments/cloud/start.sh COMMAND ...
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -f run.pid ] && kill -0 "$(cat run.pid)" 2>/dev/null; then
  echo "error: process $(cat run.pid) still runs here; stop it first" >&2
  exit 1
fi
nohup "$@" >>run.log 2>&1 </dev/null &
echo $! >run.pid
echo "$(hostname): started process $!"
