#!/usr/bin/env bash
# Ask what start.sh started to end: it saves its step first. Waits for it, five minutes at most.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! [ -f run.pid ] || ! kill -TERM "$(cat run.pid)" 2>/dev/null; then
  echo "$(hostname): nothing runs here"
  exit 0
fi
for _ in $(seq 300); do
  if ! kill -0 "$(cat run.pid)" 2>/dev/null; then
    rm run.pid
    echo "$(hostname): stopped"
    exit 0
  fi
  sleep 1
done
echo "error: process $(cat run.pid) has not ended within five minutes" >&2
exit 1
