#!/bin/sh
# Brings what the targets of the Makefile need, into this folder only. Run again, it does nothing that is done.
set -eu
cd "$(dirname "$0")/.."
say() { printf 'setup: %s\n' "$*"; }
mkdir -p .cache

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  uv=.cache/uv/bin/uv
  if [ ! -x "$uv" ]; then
    python=
    for name in python3 python3.14 python3.13 python3.12 python3.11; do  # asked, because a name on PATH may be a shim of nothing
      if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1; then python=$name; break; fi
    done
    [ -n "$python" ] || { say "Python 3.11 or newer is missing. Install it (Debian: apt-get install python3 python3-venv)."; exit 1; }
    say "uv, the package installer, into .cache/uv"
    "$python" -m venv .cache/uv || { say "'$python -m venv' failed. Debian: apt-get install python3-venv"; exit 1; }
    .cache/uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1' || { say "uv could not be installed; is a package index reachable?"; exit 1; }
  fi
fi

# The stamp holds what the environment was made from; a changed lock file makes it again.
stamp=.cache/setup.stamp
wanted=$(cat uv.lock pyproject.toml tools/scanner-requirements.txt tools/ansible-requirements.txt deploy/setup.sh 2>/dev/null | cksum)
if [ ! -x .venv/bin/python ] || [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  say "Python packages of uv.lock into .venv"
  "$uv" sync --frozen --quiet
  if [ -f tools/scanner-requirements.txt ]; then
    say "the Terraform scanner, in an environment of its own, into .cache/scanner"
    # Compiled now: the scanner runs confined and cannot write, and would compile 2600 modules on every run.
    [ -x .cache/scanner/bin/python ] || "$uv" venv --quiet --python .venv/bin/python .cache/scanner
    "$uv" pip install --quiet --compile-bytecode --python .cache/scanner/bin/python --require-hashes -r tools/scanner-requirements.txt
  fi
  say "Ansible, in an environment of its own, into .cache/ansible"
  [ -x .cache/ansible/bin/python ] || "$uv" venv --quiet --python .venv/bin/python .cache/ansible
  "$uv" pip install --quiet --compile-bytecode --python .cache/ansible/bin/python --require-hashes -r tools/ansible-requirements.txt
  printf '%s' "$wanted" > "$stamp"
fi

.venv/bin/python -m deploy.lab.bundle --want terraform --cache .cache/lab
