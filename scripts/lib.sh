# What the scripts here share; read by "source", from the top of the tree.

export LC_ALL=C # one order of names everywhere

sqlc_version=v1.31.1
tools_dir=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/updraft/tools
sqlc_dir=$tools_dir/sqlc-$sqlc_version
nfpm_version=v2.44.2 # later ones do not resolve
nfpm_dir=$tools_dir/nfpm-$nfpm_version

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	say "$*"
	exit 1
}

# The files of the tree as they would be committed now, narrowed by the
# patterns given.
tree_files() {
	git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r file; do
		if [ -f "$file" ]; then printf '%s\n' "$file"; fi # else it was deleted
	done
}

# Tells what generated code is made with, made from, and what came out.
# scripts/generate keeps it in generated.sha256.
generated_sums() {
	echo "# sqlc $sqlc_version"
	tree_files '*.go' | xargs -d '\n' grep -H '^//go:generate ' | sed 's/^/# /'
	{
		tree_files tools/go.mod '*.sql' '*sqlc.yaml' '*oapi*.yaml' '*.templ'
		generated_code
	} | xargs -d '\n' sha256sum
}

generated_code() { tree_files '*.go' | xargs -d '\n' grep -l '^// Code generated .* DO NOT EDIT\.$'; }
