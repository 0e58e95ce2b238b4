#!/usr/bin/env bash
# Wait until a queued resource is there; end with 1 where it will not come.
#   bash experiments/cloud/wait.sh NAME PROJECT ZONE
# States: https://docs.cloud.google.com/tpu/docs/queued-resources
set -euo pipefail
last=""
while true; do
  state="$(gcloud compute tpus queued-resources describe "$1" --project="$2" --zone="$3" --format='value(state.state)')"
  [ "$state" = "$last" ] || echo "$1: $state"
  last="$state"
  case "$state" in
    ACTIVE) exit 0 ;;
    FAILED | SUSPENDING | SUSPENDED | DELETING)
      echo "error: $1 will not come; delete it and create it again" >&2
      exit 1
      ;;
  esac
  sleep "${POLL_SECONDS:-30}"
done
