#!/usr/bin/env bash
# Before handing in: what a fresh clone would see. Clones HEAD (a new place has Bazel output of its own) and
# runs .ci/run there.
#   ci/check.sh          everything but the tools anew
#   ci/check.sh --cold   the tools too
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
temp=$(mktemp -d)
cleanup() {
  # Not `clean --expunge`, which takes four times as long for the half a million links of runfiles.
  base=$(cd "$temp/clone" && ./bazelw info output_base && ./bazelw shutdown) 2>/dev/null || base=
  for made in ${base:+"$base"} "$temp"; do
    find "$made" -type d ! -perm -u+w -exec chmod u+w {} +
    rm -rf "$made"
  done
}
trap cleanup EXIT
[ -z "$(git -C "$root" status --porcelain)" ] || echo "check: uncommitted changes are not checked" >&2
git clone --quiet "$root" "$temp/clone"
if [ "${1:-}" = --cold ]; then export XDG_CACHE_HOME=$temp/cache; fi
cd "$temp/clone"
bash .ci/run
