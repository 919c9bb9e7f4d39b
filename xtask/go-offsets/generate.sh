#!/bin/sh
# Writes agent/src/golang/table.rs: struct offsets of the standard library by minor version of Go.
# Needs a Go toolchain of 1.21 or newer and the network (GOTOOLCHAIN downloads the others).
#
#     xtask/go-offsets/generate.sh            all versions below
#     xtask/go-offsets/generate.sh 1.28.0     a table of only these (for a look; "-" prints it)
#
# Offsets never moved between patch releases of a minor version, so one of each is enough.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
table=$here/../../agent/src/golang/table.rs
all="1.18.10 1.19.13 1.20.14 1.21.13 1.22.12 1.23.12 1.24.9 1.25.5 1.26.8 1.27.0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$here"
for version in ${*:-$all}; do
    echo "go$version" >&2
    GOTOOLCHAIN=go$version GOFLAGS=-buildvcs=false CGO_ENABLED=0 GOARCH=amd64 \
        go build -o "$work/go$version" ./sample
done
go run . "$work"/go* > "$work/table.rs"
if [ $# -eq 0 ]; then
    cp "$work/table.rs" "$table"
else
    cat "$work/table.rs"
fi
