#!/usr/bin/env bash
# Packages built programs: a tarball, a Debian package, an SBOM and checksums.
#
# Usage: build.sh PROGRAMS OUT
#   PROGRAMS  directory of the programs intake, worker and draftsman
#   OUT       directory of the packages; created if missing
#
# The Debian package needs cargo-deb (cargo install --locked cargo-deb); without it, the script says
# so and makes the rest. CARGO_DEB_FLAGS has more options of it. The SBOM needs python3.
set -euo pipefail

programs=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
root=$(realpath "$(dirname "$0")/../..")
here="$root/deploy/package"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
name="draftsman-$version-$(uname -m)-linux"

# cli/Cargo.toml, for cargo-deb, names the files of this directory.
stage="$root/target/package"
rm -rf "$stage"
mkdir -p "$stage/bin" "$stage/man" "$stage/completions"
for program in intake worker draftsman; do
    strip --output-file "$stage/bin/$program" "$programs/$program"
    chmod 755 "$stage/bin/$program"
done
"$stage/bin/draftsman" man "$stage/man"
for shell in bash zsh fish; do
    "$stage/bin/draftsman" completions "$shell" > "$stage/completions/draftsman.$shell"
done
cp -r "$here/systemd" "$here/etc" "$stage/"
cp "$root"/LICENSE* "$root/README.md" "$root/CHANGELOG.md" "$stage/"
cp "$root/deploy/observability/alerts.yml" "$stage/"
cp "$root/deploy/observability/grafana/dashboards/draftsman.json" "$stage/dashboard.json"

host=$(rustc --version --verbose | sed -n 's/^host: //p')
cargo metadata --locked --format-version 1 --filter-platform "$host" --manifest-path "$root/Cargo.toml" \
    | python3 "$here/sbom.py" > "$stage/draftsman.cdx.json"
cp "$stage/draftsman.cdx.json" "$out/$name.cdx.json"

# The same files give the same tarball.
tar --create --gzip --file "$out/$name.tar.gz" --directory "$stage" --transform "s,^\.,$name," \
    --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" .

if command -v cargo-deb >/dev/null; then
    # shellcheck disable=SC2086 # It is a list of options.
    cargo deb --quiet --no-build --no-strip ${CARGO_DEB_FLAGS:-} --package cli --manifest-path "$root/cli/Cargo.toml" --output "$out"
else
    echo "package: no .deb: cargo-deb is not installed (cargo install --locked cargo-deb)" >&2
fi

cd "$out"
rm -f SHA256SUMS
sha256sum -- *.tar.gz *.cdx.json $(ls -- *.deb 2>/dev/null || true) > SHA256SUMS
cat SHA256SUMS
