#!/usr/bin/env bash
# down.sh: ends what up.sh started, clients first, and removes .demo.
set -euo pipefail
demo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/.demo
[ -d "$demo" ] || { echo "demo: nothing runs"; exit 0; }
for name in operator server controlplane; do
  [ -f "$demo/$name.pid" ] || continue
  pid=$(cat "$demo/$name.pid")
  kill "$pid" 2>/dev/null || continue
  for _ in $(seq 1 300); do
    kill -0 "$pid" 2>/dev/null || break
    read -rt 0.1 <> <(:) || true
  done
  kill -9 "$pid" 2>/dev/null && echo "demo: $name had to be killed" || true
done
rm -rf "$demo"
echo "demo: ended"
