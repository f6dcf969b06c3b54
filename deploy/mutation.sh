# cosmic-ray, in an environment of its own: nothing of the program needs it.
set -eu
uv=$(command -v uv || echo .cache/uv/bin/uv)
[ -x .cache/mutation/bin/python ] || "$uv" venv --quiet --python .venv/bin/python .cache/mutation
[ -x .cache/mutation/bin/cosmic-ray ] || "$uv" pip install --quiet --python .cache/mutation/bin/python 'cosmic-ray==8.7.0'
