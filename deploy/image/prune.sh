#!/bin/sh
# prune.sh FOLDER: takes out of an installed checkout what only building and testing need, and fails when
# what is left does not load.
set -eu
cd "$1/node_modules"

rm -rf .cache @biomejs
# Of Node only the program and its licence: headers were for compiling re2.
for folder in node-linux-*; do
  rm -rf "$folder/include" "$folder/share" "$folder"/*.md
  find "$folder/bin" -mindepth 1 ! -name node -delete
done
# Of re2 only the addon and its JavaScript: objects of the compiler and sources of RE2 are 90 MB.
find re2/build -mindepth 1 ! -path re2/build/Release ! -path re2/build/Release/re2.node -delete
rm -rf re2/vendor koffi/vendor koffi/doc
# They built re2, and bring 15 MB of code that can fetch and run other code.
rm -rf node-gyp nan install-artifact-from-github
find . -name '*.d.ts' -delete
find .bin -xtype l -delete

# Of the packages themselves, not of a Node that happens to be on PATH.
exec ./node-linux-*/bin/node -e "
  const RE2 = require('re2');
  require('koffi').load(null);
  process.exit(new RE2('a+').test('aa') ? 0 : 1);
"
