#!/bin/sh
# Builds ./sample with every toolchain in every way of linking, stripped and not, for the tests of
# agent/src/golang. Needs the network (GOTOOLCHAIN downloads toolchains) and a C compiler.
#
#     xtask/go-offsets/matrix.sh DIR [VERSION...]
#     THREADLINE_GO_MATRIX=DIR cargo test -p threadline go_matrix -- --ignored
set -eu

[ $# -gt 0 ] || { echo "usage: $0 DIR [VERSION...]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")"
shared=$(mktemp -d)
trap 'rm -rf "$shared" "$out"/*.h' EXIT
# A shared library is the same program that some C program calls into.
sed 's/^func main() {/\/\/export Start\nfunc Start() {/; s/^import (/import "C"\n\nimport (/' \
    sample/main.go > "$shared/main.go"
echo 'func main() {}' >> "$shared/main.go"
cp go.mod "$shared/"

export GOFLAGS=-buildvcs=false GOARCH=amd64
for version in ${*:-1.18.10 1.19.13 1.20.14 1.21.13 1.22.12 1.23.12 1.24.9 1.25.5 1.26.8 1.27.0}; do
    echo "go$version"
    export GOTOOLCHAIN=go$version
    for strip in "" -stripped; do
        flags=${strip:+-s -w}
        name=$out/go$version
        CGO_ENABLED=0 go build -ldflags "$flags" -o "$name-pure$strip" ./sample
        CGO_ENABLED=0 go build -ldflags "$flags" -buildmode=pie -o "$name-pie$strip" ./sample
        CGO_ENABLED=1 go build -ldflags "$flags" -o "$name-cgo$strip" ./sample
        CGO_ENABLED=1 go build -ldflags "$flags" -buildmode=pie -o "$name-cgopie$strip" ./sample
        (cd "$shared" && CGO_ENABLED=1 go build -ldflags "$flags" -buildmode=c-shared \
            -o "$name-cshared$strip" .)
    done
done
