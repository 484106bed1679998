#!/bin/sh
# environment.sh runtime|test|docs: makes .venv ready for one purpose, from pinned and hashed wheels
# alone, and writes nothing outside the checkout. When nothing changed it ends at once.
set -eu
cd "$(dirname "$0")/.."

purpose=${1:-runtime}
case $purpose in
runtime) lists="build runtime" ;;
test) lists="dev peers" ;;
docs) lists="build runtime docs" ;;
*)
	echo "usage: $0 runtime|test|docs" >&2
	exit 2
	;;
esac
files=""
for list in $lists; do files="$files requirements/$list.txt"; done

stamp=.venv/.ready-$purpose
# The place is part of it: a virtual environment that was moved does not work.
# shellcheck disable=SC2086 # a list of files
wanted="$(cat $files pyproject.toml | cksum) $PWD"
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

say() {
	echo "$*" >&2
	exit 2
}

sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo "

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
	for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
		if recent "$candidate"; then
			echo "$candidate"
			return
		fi
	done
}

how_to_get_python() {
	if command -v brew >/dev/null; then
		echo "brew install python@3.13 && make up PYTHON=python3.13"
	elif command -v dnf >/dev/null; then
		echo "${sudo}dnf install -y python3.11 && make up PYTHON=python3.11"
	else
		echo "${sudo}apt-get install -y python3.11-venv && make up PYTHON=python3.11"
	fi
}

python=$(find_python)
if [ -z "$python" ]; then
	found=$("${PYTHON:-python3}" -c 'import platform; print(platform.python_version())' 2>/dev/null) ||
		found=none
	say "Backstay needs Python 3.11 or newer and found $found; type: $(how_to_get_python)"
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
	say "Python $version has no venv module here; type: ${sudo}apt-get install -y python$version-venv && make up"

echo "making .venv for $purpose with Python $version (pinned wheels; only when they change)" >&2
PIP_CACHE_DIR=$PWD/.venv/.pip-cache
PIP_DISABLE_PIP_VERSION_CHECK=1
PIP_NO_INPUT=1
export PIP_CACHE_DIR PIP_DISABLE_PIP_VERSION_CHECK PIP_NO_INPUT

[ "$(cat .venv/.place 2>/dev/null)" = "$PWD $version" ] || rm -rf .venv
[ -x .venv/bin/pip ] || "$python" -m venv --clear .venv
echo "$PWD $version" >.venv/.place
for file in $files; do
	.venv/bin/python -m pip install --quiet --require-hashes --only-binary=:all: -r "$file" ||
		say "pip could not install $file; its message above names the package. Once it is mended, type: make up"
done
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
echo "$wanted" >"$stamp"
