# shellcheck shell=dash
# shellcheck disable=SC2034 # what is found is told in variables that install.sh reads
# Looking at the host: one function a fact. Sourced by install.sh, whose settings it uses.

log() {
    printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"
}

# Hundredths of a second since boot: a clock that no time sync at boot moves.
uptime_cs() {
    read -r up _ </proc/uptime
    now_cs=${up%.*}${up#*.}
}

digest_of() {
    digest=$(sha256sum <"$1" 2>/dev/null) || digest=
    digest=${digest%% *}
}

# resolve PATH [make]: the place of a host path in `resolved`, "" and status 1 where it is missing (then `missing` says
# what); with `make`, missing folders are made.
resolve() {
    rest=$1 at='' links=0 resolved='' missing=''
    while [ -n "$rest" ]; do
        part=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
        case $part in
            '' | .) continue ;;
            ..) at=${at%/*}; continue ;;
        esac
        if [ -L "$HOST_ROOT$at/$part" ]; then
            links=$((links + 1))
            link=$(readlink -- "$HOST_ROOT$at/$part") || link=
            if [ "$links" -gt "$MOST_LINKS" ] || [ -z "$link" ]; then
                missing="$at/$part (a loop of links)"
                return 1
            fi
            case $link in /*) at='' ;; esac
            rest=$link${rest:+/$rest}
        elif [ -e "$HOST_ROOT$at/$part" ]; then
            at=$at/$part
        elif [ "${2:-}" = make ] && mkdir -m 0755 -- "$HOST_ROOT$at/$part" 2>/dev/null; then
            at=$at/$part
        else
            missing=$at/$part
            return 1
        fi
    done
    resolved=$HOST_ROOT$at
}

refuse() {
    reasons=$reasons$1$NEWLINE
}

# Takes the payload over whole or not at all: the two files of a ConfigMap may change between two reads.
take_payload() {
    [ -r "$STATE_DIR/facts" ] && cmp -s "$PAYLOAD/facts" "$STATE_DIR/facts" && return 0
    rm -rf -- "$STATE_DIR/new"
    mkdir -p -- "$STATE_DIR/new" || return 1
    cp -- "$PAYLOAD/facts" "$PAYLOAD/nvidia.yaml" "$STATE_DIR/new/" 2>/dev/null || return 1
    wanted=$(sed -n 's/^spec_sha256 //p' "$STATE_DIR/new/facts")
    digest_of "$STATE_DIR/new/nvidia.yaml"
    [ -n "$wanted" ] && [ "$digest" = "$wanted" ] || return 1
    mv -f -- "$STATE_DIR/new/nvidia.yaml" "$STATE_DIR/nvidia.yaml" && mv -f -- "$STATE_DIR/new/facts" "$STATE_DIR/facts"
}

host_driver() {
    found_driver=
    resolve /proc/driver/nvidia/version || return 0
    read -r version_line <"$resolved" 2>/dev/null || return 0
    for word in $version_line; do
        case $word in [0-9][0-9][0-9].[0-9][0-9]*) found_driver=$word; return 0 ;; esac
    done
}

# look_source DIGEST, look_driver VERSION, ...: one fact each; what does not hold goes to `reasons`. `curable` says that
# generating anew would mend it, `blocked` that it would not; `moved` that time would not either: what is missing may only
# be late, as at boot.
look_source() {
    if ! resolve "$SOURCE"; then
        refuse "source $SOURCE: missing"
        curable=yes moved=yes
        return
    fi
    digest_of "$resolved"
    [ "$digest" = "$1" ] && return
    refuse "source $SOURCE: not the one that was patched (sha256 ${digest:-unreadable}, patched was $1)"
    curable=yes moved=yes
}

look_driver() {
    host_driver
    if [ -z "$found_driver" ]; then
        refuse "driver: not loaded (no version in /proc/driver/nvidia/version), the spec is for $1"
        blocked=yes
    elif [ "$found_driver" != "$1" ]; then
        refuse "driver: the host has $found_driver, the spec is for $1"
        curable=yes moved=yes
    fi
}

look_path() {
    resolve "$1" && return
    refuse "path $1: missing on the host ($missing)"
    curable=yes
}

look_exec() {
    if ! resolve "$1"; then
        refuse "hook binary $1: missing on the host ($missing)"
    elif ! { [ -f "$resolved" ] && [ -x "$resolved" ]; }; then
        refuse "hook binary $1: not executable"
    else
        return
    fi
    blocked=yes
}

# look_device PATH [MAJOR MINOR]
look_device() {
    if ! resolve "$1"; then
        refuse "device $1: missing on the host ($missing)"
        curable=yes
    elif ! [ -c "$resolved" ]; then
        refuse "device $1: not a character device"
        curable=yes
    elif [ $# -ge 3 ]; then
        numbers=$(stat -c '%t %T' -- "$resolved") || numbers='0 0'
        major=$((0x${numbers% *})) minor=$((0x${numbers#* }))
        [ "$major $minor" = "$2 $3" ] && return
        refuse "device $1: the host has $major:$minor, the spec says $2:$3"
        curable=yes moved=yes
    fi
}

# All facts of the payload against the host: `reasons`, and of the payload `spec_sha256`, `hooks`, `devices`, `node`.
look() {
    reasons='' curable=no blocked=no moved=no spec_sha256='' hooks='' devices='' node='' kind='' source_sha256='' driver=''
    if ! take_payload && ! [ -r "$STATE_DIR/facts" ]; then
        refuse "payload $PAYLOAD: no facts and spec that belong together"
        blocked=yes
        return
    fi
    # shellcheck disable=SC2086 # a device line is split on purpose
    while IFS= read -r line; do
        value=${line#* }
        case ${line%% *} in
            source_sha256) source_sha256=$value; look_source "$value" ;;
            spec_sha256) spec_sha256=$value ;;
            driver) driver=$value; look_driver "$value" ;;
            path) look_path "$value" ;;
            exec) hooks="${hooks:+$hooks }$value"; look_exec "$value" ;;
            device) look_device $value ;;
            kind) kind=$value ;;
            name) devices="${devices:+$devices, }$value" ;;
            node) node=$value ;;
        esac
    done <"$STATE_DIR/facts"
    digest_of "$STATE_DIR/nvidia.yaml"
    if [ -z "$source_sha256" ] || [ -z "$driver" ] || [ "$digest" != "$spec_sha256" ]; then
        refuse "payload $PAYLOAD: no facts and spec that belong together"
        blocked=yes
    fi
}
