# One file over HTTPS: resumed, redirected by hand, and under its final name only when it is right.

readonly MAX_HOPS=5 MAX_TRIES=5 MAX_WAIT=600

# Text for a quoted value in curl's configuration.
curl_quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# URL TOKEN RANGE VALIDATOR: curl's configuration. It goes to curl's stdin: arguments can be seen.
curl_configuration() {
  printf 'url = %s\n' "$(curl_quoted "$1")"
  if [[ -n $2 ]]; then printf 'header = "Authorization: Bearer %s"\n' "$2"; fi
  if (($3 > 0)); then
    printf 'header = "Range: bytes=%d-"\n' "$3"
    if [[ -n $4 ]]; then printf 'header = %s\n' "$(curl_quoted "If-Range: $4")"; fi
  fi
}

# PART OFFSET LIMIT ANSWER: reads an answer with its headers and appends its body to PART, if it is
# the file. ANSWER gets status, start of the range, total, retry-after, validator, and what was done.
receive() {
  local part=$1 answer=$4 line name value status='' from='' total='' retry='' etag='' type='' length=''
  local -i offset=$2 limit=$3
  local LC_ALL=C done_so=ignored
  while IFS= read -r line; do
    line=${line%$'\r'}
    if [[ $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then
      status=${BASH_REMATCH[1]} from='' total='' retry='' etag='' type='' length=''
    elif [[ -z $line ]]; then
      [[ $status == 1?? ]] || break
    else
      name=${line%%:*} value=${line#*:}
      value=${value#"${value%%[![:space:]]*}"}
      case ${name,,} in
        content-range)
          if [[ $value =~ ^bytes\ ([0-9]{1,15})-[0-9]+/([0-9]{1,15}|\*)$ ]]; then
            from=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]#\*}
          elif [[ $value =~ ^bytes\ \*/([0-9]{1,15})$ ]]; then
            total=${BASH_REMATCH[1]}
          fi
          ;;
        content-length) if [[ $value =~ ^[0-9]{1,15}$ ]]; then length=$value; fi ;;
        content-type) type=${value,,} ;;
        retry-after) retry=$value ;;
        etag) if [[ $value == '"'*'"' ]]; then etag=$value; fi ;;
        last-modified) etag=${etag:-$value} ;;
      esac
    fi
  done
  case $status in
    200 | 206)
      if [[ $type == text/html* ]]; then
        done_so=html
      elif [[ $status == 206 && $from != "$offset" ]]; then
        done_so=misplaced
      else
        done_so=written
        if [[ $status == 200 ]]; then
          offset=0 total=${length:-$total}
          : >"$part" || done_so=unwritten
        fi
        # The mark is there before the first byte: after a crash it says whose bytes these are.
        if [[ -n $etag ]]; then printf '%s\n' "$etag" >"$part.tag" || done_so=unwritten; fi
        if [[ $done_so == written ]]; then
          if ((limit > 0)); then
            head -c "$((limit - offset + 1))" >>"$part" || done_so=unwritten
          else
            cat >>"$part" || done_so=unwritten
          fi
        fi
      fi
      ;;
  esac
  printf '%s\n' "$status" "$total" "$retry" "$etag" "$done_so" >"$answer" || done_so=unwritten
  [[ $done_so != unwritten ]]
}

# One request. Sets STATUS TOTAL RETRY DONE (see receive), NEXT (a redirect's target) and CURL (its
# exit status).
request() { # URL TOKEN PART OFFSET LIMIT VALIDATOR WORK
  local url=$1 part=$3 work=$7 etag
  local -a ended=(0 0 0)
  rm -f -- "$work.answer"
  curl_configuration "$url" "$2" "$4" "$6" |
    curl --silent --show-error --include --suppress-connect-headers --no-location --globoff \
      --proto =http,https --connect-timeout 30 --speed-limit 1000 --speed-time 60 \
      --user-agent 'comfynb-deploy/1' --write-out '%{stderr}\nnext:%{redirect_url}\n' \
      --config - 2>"$work.curl" |
    receive "$part" "$4" "$5" "$work.answer" || ended=("${PIPESTATUS[@]}")
  CURL=${ended[1]} STATUS='' TOTAL='' RETRY='' DONE='' NEXT=''
  if [[ -f $work.answer ]]; then
    { IFS= read -r STATUS && IFS= read -r TOTAL && IFS= read -r RETRY && IFS= read -r etag &&
      IFS= read -r DONE; } <"$work.answer" || true
  fi
  if ((ended[2] != 0)); then DONE=unwritten; fi # where nothing can be written, no answer can be
  NEXT=$(sed -n 's/^next://p' "$work.curl" | tail -n 1)
}

retry_seconds() { # RETRY-AFTER TRY: how long to wait, at most ten minutes
  local -i seconds=0
  if [[ $1 =~ ^[0-9]{1,6}$ ]]; then
    seconds=10#$1
  elif [[ -n $1 ]] && seconds=$(date -d "$1" +%s 2>/dev/null); then
    seconds=$((seconds - $(date +%s)))
  else
    seconds=$((2 ** $2))
  fi
  if ((seconds < 1)); then seconds=1; fi
  if ((seconds > MAX_WAIT)); then seconds=MAX_WAIT; fi
  printf '%s\n' "$seconds"
}

# URL PART SIZE SERVICE LABEL: fetches all of it into PART. Sizes of 0 are unknown.
fetch() {
  local first=$1 part=$2 service=$4 label=$5 url token tag name variable wait note=''
  local -i size=$3 tries=0 hops offset before
  local want_token=no work=$RUN/work-$BASHPID
  if [[ -n $service ]]; then want_token=yes; fi
  while :; do
    url=$first
    hops=0
    offset=$(size_of "$part")
    before=offset
    if ((size > 0 && offset == size)); then return 0; fi
    tag=''
    if [[ -f $part.tag ]]; then IFS= read -r tag <"$part.tag" || true; fi
    # Without a size, a hash or the server's own mark nobody knows whose bytes these are.
    if ((size > 0 && offset > size)) || [[ $offset != 0 && -z $tag && $size == 0 ]]; then
      rm -f -- "$part" "$part.tag"
      offset=0 before=0
    fi
    while :; do
      token=''
      if [[ $want_token == yes ]]; then
        for name in HUGGINGFACE CIVITAI; do
          if may_see_token "$name" "$url"; then
            variable=$(token_name "$name")
            token=${!variable}
          fi
        done
      fi
      request "$url" "$token" "$part" "$offset" "$size" "$tag" "$work"
      if [[ $STATUS != 30[12378] ]]; then break; fi
      hops=$((hops + 1))
      if ((hops > MAX_HOPS)); then
        fail "$EXIT_DOWNLOAD" "$label" "more than $MAX_HOPS redirects" || return
      fi
      if [[ ! $NEXT =~ ^https://[^@/?#]+([/?#]|$) || $NEXT == *[[:space:][:cntrl:]]* ]]; then
        fail "$EXIT_DOWNLOAD" "$label" 'redirected to something that is not https' || return
      fi
      url=$NEXT
    done
    if [[ $DONE == unwritten ]]; then
      fail "$EXIT_DISK" "$label" "$(dirname -- "$part") takes no more: is the disk or the quota full?" || return
    fi
    case $STATUS in
      200 | 206)
        case $DONE in
          html)
            fail "$EXIT_DOWNLOAD" "$label" 'a web page came instead of the file: it wants a login' || return
            ;;
          misplaced)
            rm -f -- "$part" "$part.tag"
            note='the server sent another part of the file'
            ;;
          *)
            if ((CURL == 0)); then return 0; fi
            # More than was locked: what follows does not matter, the check refuses it.
            if ((size > 0 && $(size_of "$part") > size)); then return 0; fi
            note="the connection was lost (curl: $CURL)"
            ;;
        esac
        ;;
      416)
        if [[ -n $TOTAL && $TOTAL == "$offset" ]]; then return 0; fi
        rm -f -- "$part" "$part.tag"
        note='the file has changed'
        ;;
      401 | 403)
        if [[ $want_token == no ]]; then
          for name in HUGGINGFACE CIVITAI; do
            variable=$(token_name "$name")
            if may_see_token "$name" "$url" && [[ -n ${!variable} ]]; then want_token=yes; fi
          done
          if [[ $want_token == yes ]]; then continue; fi
        fi
        note='set HF_TOKEN or CIVITAI_TOKEN if it is one of theirs'
        if [[ -n $token ]]; then note='the token is wrong, or its owner has not been let in there'; fi
        fail "$EXIT_DOWNLOAD" "$label" "access denied ($STATUS): $note" || return
        ;;
      404 | 410)
        fail "$EXIT_DOWNLOAD" "$label" "it is gone ($STATUS): update the lock" || return
        ;;
      408 | 425 | 429 | 500 | 502 | 503 | 504) note="the server said $STATUS" ;;
      '') note="no answer (curl: $CURL, $(tame "$(grep -v -e '^next:' -e '^$' "$work.curl" | tail -n 1)"))" ;;
      *) fail "$EXIT_DOWNLOAD" "$label" "the server said $STATUS" || return ;;
    esac
    # As long as bytes arrive it is worth going on.
    if (($(size_of "$part") > before)); then tries=0; fi
    tries=$((tries + 1))
    if ((tries >= MAX_TRIES)); then
      fail "$EXIT_DOWNLOAD" "$label" "$note, $tries times" || return
    fi
    wait=$(retry_seconds "$RETRY" "$tries")
    say "$label: $note; again in $wait s"
    sleep "$wait"
  done
}

# Whether FILE can be a safetensors file: the length of a JSON header, and its first byte.
safetensors_header() { # FILE SIZE
  local -a bytes
  local -i length=0 index
  read -r -a bytes < <(od -A n -t u1 -N 9 -- "$1" | tr '\n' ' ')
  ((${#bytes[@]} == 9 && bytes[7] == 0 && bytes[6] == 0 && bytes[8] == 123)) || return
  for ((index = 5; index >= 0; index--)); do length=$((length * 256 + bytes[index])); done
  ((length >= 2 && length + 8 <= $2))
}

# FILE SIZE SHA256 NAME: whether it is what was locked; sets WRONG.
right() {
  local found
  local -i size
  size=$(size_of "$1")
  WRONG=''
  if (($2 > 0 && size != $2)); then
    WRONG="it has $size bytes, the lock says $2"
  elif [[ -n $3 ]]; then
    found=$(sha256sum <"$1") || found=unreadable
    if [[ ${found%% *} != "$3" ]]; then WRONG="its SHA-256 is ${found:0:12}..., the lock says ${3:0:12}..."; fi
  elif [[ $4 == *.safetensors || $4 == *.sft ]] && ! safetensors_header "$1" "$size"; then
    WRONG='it is no safetensors file'
  fi
  [[ -z $WRONG ]]
}

# URL FOLDER NAME SIZE SHA256 SERVICE LABEL ID CONTENT: brings one file to its place, and prints
# "there" or "installed" to $RUN/<ID>. CONTENT is the hash of what the lock says about it.
bring() {
  local url=$1 folder=$2 name=$3 size=$4 sha256=$5 service=$6 label=$7 id=$8 content=$9
  local final=$folder/$name near=$folder/.comfynb-$id-$content.part mark='' part stale resumed=no
  part=$near
  if [[ -n $PARTS ]]; then part=$PARTS/$id-$content.part; fi
  if [[ -f $final ]]; then
    mark=$(file_mark "$final")
    if stamped "$STATE/steps/$id" "$content $mark" && [[ $VERIFY == no ]]; then
      rm -f -- "$near" "$near.tag" "$part" "$part.tag"
      printf 'there\n' >"$RUN/$id"
      return 0
    fi
    say "checking $label"
    if right "$final" "$size" "$sha256" "$name"; then
      stamp "$STATE/steps/$id" "$content $mark"
      printf 'there\n' >"$RUN/$id"
      return 0
    fi
    if [[ $REPLACE == no && ! -f $STATE/steps/$id ]]; then
      fail "$EXIT_VERIFY" "$label" "the file that is there is another one ($WRONG): move it away, or run with --replace" || return
    fi
  elif [[ -e $final || -L $final ]]; then
    fail "$EXIT_VERIFY" "$label" "$final is in the way: it is no file" || return
  fi
  if [[ $url != https://* && $ALLOW_HTTP == no ]]; then
    fail "$EXIT_DOWNLOAD" "$label" 'its address is http, which anybody on the way can change: --allow-http takes it' || return
  fi
  mkdir -p -- "$folder" "$(dirname -- "$part")" ||
    fail "$EXIT_DISK" "$label" "$folder cannot be made" || return
  for stale in "$folder/.comfynb-$id-"*.part*; do
    if [[ $stale != "$near"* ]]; then rm -f -- "$stale"; fi
  done
  if [[ -s $part ]]; then resumed=yes; fi
  say "fetching $label"
  fetch "$url" "$part" "$size" "$service" "$label" || return
  if ! right "$part" "$size" "$sha256" "$name" && [[ $resumed == yes ]]; then
    # Two halves of two files, perhaps.
    say "$label: $WRONG; from the beginning"
    rm -f -- "$part" "$part.tag"
    fetch "$url" "$part" "$size" "$service" "$label" || return
    right "$part" "$size" "$sha256" "$name" || true
  fi
  if [[ -n $WRONG ]]; then
    rm -f -- "$part" "$part.tag"
    fail "$EXIT_VERIFY" "$label" "$WRONG" || return
  fi
  if [[ $part != "$near" ]]; then
    if ! cp -f -- "$part" "$near"; then
      rm -f -- "$near"
      fail "$EXIT_DISK" "$label" "$folder takes no more: is the disk or the quota full?" || return
    fi
  fi
  mark=$(file_mark "$near")
  { stamp "$STATE/steps/$id" "$content $mark" && mv -f -T -- "$near" "$final"; } ||
    fail "$EXIT_DISK" "$label" "$final cannot be written" || return
  rm -f -- "$part" "$part.tag"
  printf 'installed\n' >"$RUN/$id"
}
