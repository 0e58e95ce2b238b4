#!/usr/bin/env bash
# Set this machine up to train: Python 3.12, the locked requirements, and JAX for what computes here.
#   bash experiments/cloud/setup.sh tpu | cuda13 | cpu
set -euo pipefail
case "${1:-}" in
  tpu | cuda13 | cpu) ;;
  *)
    echo "error: say what computes here: setup.sh tpu, cuda13 or cpu; got '${1:-}'" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/../.."
export PATH="$HOME/.local/bin:$PATH"
# Images of Cloud TPU VMs ship Python 3.10; uv brings 3.12.
command -v uv >/dev/null || python3 -m pip install --quiet --user uv
uv venv --quiet --allow-existing --python 3.12 .venv
uv pip install --quiet --python .venv/bin/python --requirement requirements.lock
uv pip install --quiet --python .venv/bin/python --no-deps --editable .
if [ "$1" != cpu ]; then
  version="$(.venv/bin/python -c 'from importlib.metadata import version; print(version("jax"))')"
  uv pip install --quiet --python .venv/bin/python "jax[$1]==$version"
fi
if [ "$1" = tpu ]; then
  # Runs on TPUs live in a bucket.
  uv pip install --quiet --python .venv/bin/python gcsfs
fi
echo "$(hostname): ready"
