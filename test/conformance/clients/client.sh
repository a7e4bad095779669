#!/bin/sh
# Scenes with curl, as client.go. Arguments: http1|h2c, basic|full, base URL.
base=$3
version=--http1.1
[ "$1" = h2c ] && version=--http2-prior-knowledge
content=$(mktemp)
trap 'rm -f "$content"' EXIT

# ask SCENE PATH ARGUMENTS...
ask() {
  scene=$1 path=$2
  shift 2
  : >"$content"
  told=$(curl -sS -g -m 20 "$version" -o "$content" "$@" \
    -w '%{http_version} %{http_code} %{content_type} %{size_download} %{num_redirects} %{header_json}' "$base$path" 2>&1)
  status=$?
  # Of a HEAD this is the head, date and all.
  [ "$scene" = head ] && : >"$content"
  # What is of the moment, or of a hop.
  told=$(printf '%s' "$told" | tr -d '\n' |
    sed -E 's/"(date|connection|keep-alive|trailer)":\[[^]]*\],?//g')
  printf '%s\t%s %s %s\n' "$scene" "$status" "$told" "$(sha256sum <"$content" | cut -c 1-16)"
}

ask get '/echo?a=b'
ask 'odd characters' '/echo?filter=a|b&q={x}&m[]=^&p=50%'
ask head /echo -I
ask 'content of a length' /echo -d hello
ask 'content without a length' /echo -d hello -H 'Transfer-Encoding: chunked'
ask expect /echo -X PUT -d hello -H 'Expect: 100-continue'
head -c 1048576 /dev/zero | ask 'large upload' /echo -T -
ask delete /echo -X DELETE
if [ "$2" = full ]; then
  ask 204 /204
  # By HTTP/2 some versions of curl lose a response that is whole before their content is.
  if [ "$1" = http1 ]; then
    ask redirect /redirect -L -d again
    ask 'refused upload' /refuse -d hello -H 'Expect: 100-continue'
  else
    ask redirect /redirect -L
  fi
  ask large /large
  ask range /large -r 10-29
  ask 304 /large -H 'If-None-Match: "v1"'
  ask gzip /gzip --compressed
  ask 'gzip as it is' /gzip -H 'Accept-Encoding: gzip'
  ask trailers /trailers
  ask 'early hints' /early
  key="curl$$"
  curl -s -m 1 "$version" -o "$content" "$base/slow?$key"
  tries=0
  while [ "$(curl -s -m 5 "$version" "$base/gone?$key")" != true ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.05
  done
  printf 'given up\t%s\n' "$(curl -s -m 5 "$version" "$base/gone?$key")"
fi
