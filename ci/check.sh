#!/usr/bin/env bash
# Before handing in: what a fresh clone would see. Clones HEAD (a new place has Bazel output of its own) and
# runs .ci/run there.
#   ci/check.sh          everything but the tools anew
#   ci/check.sh --cold   the tools too
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
temp=$(mktemp -d)
cleanup() {
  (cd "$temp/clone" && ./bazelw clean --expunge) >/dev/null 2>&1 || true
  chmod -R u+w "$temp" && rm -rf "$temp"
}
trap cleanup EXIT
[ -z "$(git -C "$root" status --porcelain)" ] || echo "check: uncommitted changes are not checked" >&2
git clone --quiet "$root" "$temp/clone"
if [ "${1:-}" = --cold ]; then export XDG_CACHE_HOME=$temp/cache; fi
cd "$temp/clone"
bash .ci/run
