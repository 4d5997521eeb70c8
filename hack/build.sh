# build.sh: sourced by scripts that build other projects' programs from their Go modules, once, into a cache.
# shellcheck shell=bash

cache_root="${SCAIVAULT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scaivault}"
say() { printf '%s: %s\n' "${0#"$PWD"/}" "$*" >&2; }

version_of() { (cd "$1" && go list -m -f '{{.Version}}' "$2"); } # DIR MODULE: the version that DIR's go.mod pins

build() { # DIR PACKAGE BINARY FLAG...: builds unless it is there; BINARY is a path, complete as soon as it exists
  local dir=$1 package=$2 binary=$3 start=$SECONDS
  shift 3
  [ -x "$binary" ] && return 0
  say "building ${binary##*/} (once; kept in $(dirname "$binary"))"
  (cd "$dir" && CGO_ENABLED="${CGO_ENABLED:-0}" go build -trimpath "$@" -o "$binary.new" "$package")
  mv "$binary.new" "$binary"
  say "built ${binary##*/} in $((SECONDS - start)) s"
}

kubernetes() { # DIR VERSION NAME TARGET: builds k8s.io/kubernetes/cmd/NAME as TARGET/NAME
  build "$1" "k8s.io/kubernetes/cmd/$3" "$4/$3" -ldflags "$(kubernetes_version "$2")"
}

kubernetes_version() { # the version that the binaries report; an apiserver without it serves v0.0.0
  local v=$1 p out="-s -w"
  local major minor
  major=$(cut -d. -f1 <<<"${v#v}") minor=$(cut -d. -f2 <<<"$v")
  for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    out+=" -X $p.gitVersion=$v -X $p.gitMajor=$major -X $p.gitMinor=$minor -X $p.gitTreeState=clean"
    out+=" -X $p.gitCommit=0000000000000000000000000000000000000000 -X $p.buildDate=2026-01-01T00:00:00Z"
  done
  printf '%s' "$out"
}
