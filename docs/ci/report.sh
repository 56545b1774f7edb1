#!/bin/sh
# Write what a branch changes against another commit as Markdown: the campaign's state, its numbers,
# its parameters, and a page of curves. In a campaign's folder:
#   sh report.sh origin/main > report.md
# Nothing is trained: `dvc pull --allow-missing` brings what was pushed, and the report is made of it.
set -eu
base=${1:?name the commit to compare with, such as origin/main}
pages=${2:-dvc_plots}

table() {  # the rows of a diff, or a word where it has none below its head
    text=$("$@")
    if [ "$(printf '%s\n' "$text" | wc -l)" -gt 2 ]; then
        printf '%s\n\n' "$text"
    else
        printf 'no change\n\n'
    fi
}

printf '# %s against %s\n\n' "$(git rev-parse --short HEAD)" "$base"
printf '## State\n\n```\n%s\n```\n\n' "$(boxloop status)"
printf '## Numbers\n\n'
table dvc metrics diff --md "$base" HEAD
printf '## Parameters\n\n'
table dvc params diff --md "$base" HEAD
dvc plots diff --out "$pages" "$base" HEAD > /dev/null
printf 'The curves of both: %s/index.html\n' "$pages"
