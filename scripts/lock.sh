#!/bin/sh
# Makes requirements/*.txt again from pyproject.toml: exact versions with hashes for every platform,
# and no address of an index. Needs uv; people who only install never need it.
set -eu
cd "$(dirname "$0")/.."

uv=${UV:-uv}
command -v "$uv" >/dev/null || {
	echo "make lock needs uv: install it, or name it with: make lock UV=/path/to/uv" >&2
	exit 2
}

# With UPGRADE=1 the newest versions are taken, else those already written stay.
upgrade=${UPGRADE:+--upgrade}

# Name of the file, then what goes in. Later files are held to the versions of dev.txt, because
# all of them end up in one environment.
compile() {
	file=requirements/$1.txt
	shift
	# shellcheck disable=SC2086 # empty means absent
	"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header $upgrade --output-file "$file" "$@"
	echo "$file"
}

compile dev pyproject.toml --group dev --extra otel
compile runtime pyproject.toml --constraint requirements/dev.txt
compile build --group build --constraint requirements/dev.txt
compile peers --group peers --constraint requirements/dev.txt
compile docs --group docs --constraint requirements/dev.txt
