#!/bin/sh
# install.sh [FOLDER]: installs Backstay from this checkout for whoever runs it, from pinned and
# hashed wheels, and puts its commands on PATH or says what to add. FOLDER is ~/.local/share/backstay
# unless given; the commands are linked into BACKSTAY_BIN, ~/.local/bin unless set.
set -eu
cd "$(dirname "$0")/.."

place=${1:-$HOME/.local/share/backstay}
bin=${BACKSTAY_BIN:-$HOME/.local/bin}
if [ -e "$place" ] && [ ! -f "$place/pyvenv.cfg" ]; then
	echo "$place exists and is not an installation; name another folder: $0 FOLDER" >&2
	exit 2
fi

python=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
	if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
		python=$candidate
		break
	fi
done
if [ -z "$python" ]; then
	echo "Backstay needs Python 3.11 or newer with venv; name one: PYTHON=python3.11 $0" >&2
	exit 2
fi

"$python" -m venv --clear "$place"
pip() { "$place/bin/python" -m pip --disable-pip-version-check install --quiet "$@"; }
pip --require-hashes --only-binary=:all: -r requirements/build.txt -r requirements/runtime.txt
pip --no-deps --no-build-isolation .

mkdir -p "$bin"
for command in backstay codeai codeq codeq-server; do ln -sf "$place/bin/$command" "$bin/$command"; done
case ":$PATH:" in
*":$bin:"*) echo "installed; its commands are in $bin" ;;
*) echo "installed; add its commands to PATH: export PATH=\"$bin:\$PATH\"" ;;
esac
