# Sourced by .ci/minimum, .ci/no_extras and .ci/sdks: a temporary folder outside the repository, deleted at the end, and uv in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
begun=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/cimnet-ci.XXXXXX")
trap 'code=$?; rm -rf "$work"; say "$([ $code = 0 ] && echo passed || echo "FAILED with exit code $code")"; exit $code' EXIT
trap 'exit 130' INT TERM
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHONDONTWRITEBYTECODE=1
bin=$work/venv/bin

say() { echo "== ${0##*/}, $((SECONDS - begun)) s: $*"; }

# find_python VERSION…: the first of these that is here; pyenv's too, which its own commands may hide.
find_python() {
    local version python
    for version; do
        for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            if "$python" -c "" 2> /dev/null; then "$python" -c "import sys; print(sys.executable)"; return; fi
        done
    done
    echo "none of Python $* is here; set PYTHON" >&2
    return 1
}

# find_uv: sets $uv, installing it where it is not here.
find_uv() {
    uv=$(command -v uv) || {
        say "no uv here: installing it into the temporary folder"
        python3 -m venv "$work/tools"
        "$work/tools/bin/python" -m pip install -q uv
        uv=$work/tools/bin/uv
    }
}

# make_venv VERSION…: an environment of the first of these that is here, or of $PYTHON where that is set.
make_venv() {
    PYTHON=${PYTHON:-$(find_python "$@")}
    find_uv
    say "new environment in $work: $("$PYTHON" --version)"
    "$uv" venv -q --python "$PYTHON" "$work/venv"
}

# install ARGUMENTS: of `uv pip install`.
install() {
    say "installing: $*"
    "$uv" pip install -q --python "$bin/python" "$@"
    "$uv" pip list -q --python "$bin/python" | grep -iE '^(torch|torchvision|timm|accelerate|numpy|pillow|pydantic|typer) '
}

# try_package: the public names, and the commands' help; from outside the repository.
try_package() {
    say "public names, help of all commands"
    local script=$PWD/.ci/public_names.py
    (cd "$work" && "$bin/python" "$script" && "$bin/cimnet" --help > help.txt && "$bin/cimnet" train --help > help.txt)
}

# fast_tests: those of `make test`, as it runs them.
fast_tests() {
    say "fast tests"
    "$bin/python" -m pytest -p no:cacheprovider -n auto --maxprocesses 8 --dist loadfile "$@"
}
