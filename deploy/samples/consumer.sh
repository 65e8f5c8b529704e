#!/bin/sh
# A sample consumer: a program that reads Blueprints as files. `draftsman sync --run` starts it
# when all files are up to date, and after each change. Its exit status says whether the
# versions are applied. A real one would check and load the files here.
set -eu

for id in $DRAFTSMAN_CHANGED; do
    # The version of a Blueprint is the SHA-256 of its file.
    version=$(sha256sum "$DRAFTSMAN_DIR/$id.yaml")
    echo "consumer: runs $id in version ${version%% *}"
done
for id in $DRAFTSMAN_REMOVED; do
    echo "consumer: stops $id"
done
