#!/bin/sh
# Keeps the patched CDI spec of this node installed, and only while it fits the host.
#
#   install.sh run     looks at the host every INTERVAL seconds; installs, repairs or withdraws the spec
#   install.sh check   readiness: exit 0 if the spec in place is the one installed and the host still fits it
#
# Runs in a privileged container with hostPID. Paths in SOURCE, TARGET and the facts are the host's; their links are
# followed inside HOST_ROOT, component by component, because the kernel would follow an absolute link out of it.
# The facts file is written by talos_gpu.cdi.facts_file, one fact a line.
set -uf

HOST_ROOT=${HOST_ROOT:-/proc/1/root}
SOURCE=${SOURCE:-/var/cdi/nvidia.yaml}
TARGET=${TARGET:-/var/run/cdi/nvidia.yaml}
PAYLOAD=${PAYLOAD:-/payload}
INTERVAL=${INTERVAL:-5}
REGENERATE=${REGENERATE:-never}
STATUS=${STATUS:-/run/nvidia-cdi-init/status}

STATE_DIR=${STATUS%/*}
BASE=${TARGET##*/}
# CDI reads *.yaml and *.json only, so neither of these is ever taken for a spec
MARKER=.$BASE.nvidia-cdi-init
TEMPORARY=.$BASE.nvidia-cdi-init-tmp.$$
# nvidia-ctk appends .yaml to any other name, so its output must stay out of the folder that containerd watches
OWN=/run/nvidia-cdi-init/nvidia.yaml
GENERATE_SECONDS=60
GENERATE_AGAIN_CS=${GENERATE_AGAIN_CS:-3000}
MOST_LINKS=40
NEWLINE='
'

# shellcheck source-path=SCRIPTDIR source=host.sh
. "${0%/*}/host.sh"

# What lies at TARGET: `folder` (its place, "" if missing), `lies` missing|other|DIGEST.
look_target() {
    folder='' lies=missing
    resolve "${TARGET%/*}" || return 0
    folder=$resolved
    if [ -L "$folder/$BASE" ]; then
        lies=other
    elif [ -f "$folder/$BASE" ]; then
        digest_of "$folder/$BASE"
        lies=${digest:-other}
        [ -n "$digest" ] || [ -e "$folder/$BASE" ] || lies=missing # deleted between the two looks
    elif [ -e "$folder/$BASE" ]; then
        lies=other
    fi
}

is_ours() {
    [ -n "$folder" ] && [ -f "$folder/$MARKER" ] && ! [ -L "$folder/$MARKER" ] && grep -qxF -- "$lies" "$folder/$MARKER"
}

# put FILE NAME: a file into the target's folder in one step, whole or not at all.
put() {
    if ! { cp -- "$1" "$folder/$TEMPORARY" && chmod 0644 -- "$folder/$TEMPORARY"; }; then
        rm -f -- "$folder/$TEMPORARY"
        return 1
    fi
    sync "$folder/$TEMPORARY" 2>/dev/null || :
    mv -fT -- "$folder/$TEMPORARY" "$folder/$2" && return
    rm -f -- "$folder/$TEMPORARY"
    return 1
}

# What a killed run of this program left half written.
clean() {
    resolve "${TARGET%/*}" || return 0
    find "$resolved" -maxdepth 1 -name ".$BASE.nvidia-cdi-init-tmp.*" -delete
}

# install_spec FILE DIGEST: returns 1 and says so where it could not.
install_spec() {
    if ! resolve "${TARGET%/*}" make; then
        log "ERROR: cannot make the folder ${TARGET%/*} on the host ($missing)"
        return 1
    fi
    folder=$resolved
    # the marker names the new spec before it is there: a kill in between must not leave a spec without an owner
    { printf '%s\n' "$2"; is_ours && printf '%s\n' "$lies"; } >"$STATE_DIR/marker"
    if ! { put "$STATE_DIR/marker" "$MARKER" && put "$1" "$BASE"; }; then
        log "ERROR: cannot write $TARGET on the host"
        return 1
    fi
    digest_of "$folder/$BASE"
    lies=$digest
    [ "$digest" = "$2" ]
}

withdraw() {
    look_target
    if [ "$lies" = missing ]; then
        [ -z "$folder" ] || rm -f -- "$folder/$MARKER"
    elif is_ours; then
        rm -f -- "$folder/$BASE" "$folder/$MARKER"
        log "removed $TARGET: it was installed from here and no longer fits the host"
    elif [ "$left_alone" != "$lies" ]; then
        left_alone=$lies
        log "left $TARGET alone: it was not installed from here (sha256 $lies)"
    fi
}

# keep FILE DIGEST WHAT: the spec in place is to be DIGEST; repairs and logs what was found.
keep() {
    look_target
    if [ "$lies" = "$2" ] && is_ours; then
        [ "$installed" = "$2" ] || log "$3 is installed already: $TARGET (sha256 $2)"
    else
        found=$lies
        install_spec "$1" "$2" || { reasons="target $TARGET: could not be written$NEWLINE"; return 1; }
        case $found in
            missing) found='it was missing' ;;
            "$2") found='it was in place already, now marked as ours' ;;
            *) found="something else lay there (sha256 $found)" ;;
        esac
        if [ "$installed" = "$2" ]; then
            log "put $TARGET back: $found"
        else
            log "CDI spec copied successfully to $TARGET: $3, sha256 $2; before: $found"
            log "Devices in spec: ${kind:+$kind=}${devices:-unknown}"
            log "Hook paths: ${hooks:-none}"
        fi
    fi
    installed=$2 left_alone=''
}

# Whether a spec of our own is to be made: there is none for this driver and for what does not hold now. What may only
# be late must be missing at two looks, and one is made every GENERATE_AGAIN_CS, at once only for another driver.
to_generate() {
    [ -n "$own_sha256" ] && [ "$own_driver" = "$found_driver" ] && [ "$own_for" = "$reasons" ] && return 1
    [ "$moved" = no ] && [ "$reasons" != "$seen" ] && return 1
    [ -n "$own_sha256" ] && [ "$own_driver" != "$found_driver" ] && return 0
    uptime_cs
    [ -z "$generated_cs" ] || [ $((now_cs - generated_cs)) -ge "$GENERATE_AGAIN_CS" ]
}

# Generates a spec for the host as it is now: `own_sha256`, or "" and the reason logged.
generate() {
    uptime_cs
    generated_cs=$now_cs own_sha256='' own_driver=$found_driver own_for=$reasons
    log "REGENERATE=boot: generating a spec on the host with hooks run by ${hooks%% *}"
    # shellcheck disable=SC2086 # flags in plain characters: words
    timeout "$GENERATE_SECONDS" nsenter -t 1 -m -u -i -n -p -- /usr/local/bin/nvidia-ctk cdi generate \
        --nvidia-cdi-hook-path="${hooks%% *}" --output="$OWN" ${GENERATE_FLAGS:-} >"$STATE_DIR/generate.log" 2>&1 &
    worker=$!
    wait "$worker"
    ended=$? worker=''
    if [ "$ended" -ne 0 ]; then
        log "ERROR: nvidia-ctk cdi generate failed ($ended): $(tail -n 1 "$STATE_DIR/generate.log")"
        return
    fi
    if ! { resolve "$OWN" && cp -- "$resolved" "$STATE_DIR/own.yaml"; }; then
        log "ERROR: nvidia-ctk left no spec at $OWN"
        return
    fi
    if ! grep -qF -- ".so.$own_driver" "$STATE_DIR/own.yaml" || ! grep -qF -- "${hooks%% *}" "$STATE_DIR/own.yaml"; then
        log "ERROR: the generated spec names neither driver $own_driver nor ${hooks%% *} as it should"
        return
    fi
    digest_of "$STATE_DIR/own.yaml"
    own_sha256=$digest
    log "this spec is the installer's own, not the stack's: sha256 $own_sha256, driver $own_driver"
}

log_moved() {
    printf '%s' "$reasons" >"$STATE_DIR/reasons"
    while IFS= read -r reason; do
        case $NEWLINE$logged in *"$NEWLINE$reason$NEWLINE"*) ;; *) log "REFUSED: $reason" ;; esac
    done <"$STATE_DIR/reasons"
    [ -z "$reasons" ] && [ -n "$logged" ] && log "the facts hold again"
    logged=$reasons
}

# status STATE DIGEST
write_status() {
    uptime_cs
    { printf 'state %s\nat_cs %s\nspec_sha256 %s\n' "$1" "$now_cs" "$2"
      printf '%s' "$reasons" | sed 's/^/reason /'; } >"$STATUS.tmp" && mv -f -- "$STATUS.tmp" "$STATUS"
}

round() {
    seen=$reasons
    look
    log_moved
    if [ -z "$reasons" ]; then
        own_sha256=''
        keep "$STATE_DIR/nvidia.yaml" "$spec_sha256" "the stack's spec" && write_status installed "$spec_sha256" && return
    elif [ "$REGENERATE" = boot ] && [ "$curable" = yes ] && [ "$blocked" = no ]; then
        to_generate && generate
        if [ -n "$own_sha256" ] && [ "$own_driver" = "$found_driver" ]; then
            devices="see nvidia-ctk's own"
            keep "$STATE_DIR/own.yaml" "$own_sha256" "the installer's own spec" &&
                write_status installed "$own_sha256" && return
        fi
    fi
    withdraw
    installed=''
    write_status refused none
}

run() {
    worker='' logged='' installed='' left_alone='' own_sha256='' own_driver='' own_for=''
    generated_cs=''
    mkdir -p -- "$STATE_DIR" || exit 1
    rm -f -- "$STATUS" "$STATE_DIR/facts"
    trap 'log "stopping; the spec stays installed"; [ -z "$worker" ] || kill "$worker" 2>/dev/null; exit 0' TERM INT
    log "=== NVIDIA CDI Spec Initializer ==="
    clean
    look
    log "node ${node:-unknown}, source $SOURCE (patched from sha256 ${source_sha256:-unknown}), target $TARGET"
    reasons='' # the first round's look is not a second one
    while :; do
        round
        sleep "$INTERVAL" &
        worker=$!
        wait "$worker"
        worker=
    done
}

check() {
    state='' at_cs='' spec_sha256='' told=''
    if [ -r "$STATUS" ]; then
        while read -r key value; do
            case $key in
                state) state=$value ;;
                at_cs) at_cs=$value ;;
                spec_sha256) spec_sha256=$value ;;
                reason) told=$told$value$NEWLINE ;;
            esac
        done <"$STATUS"
    fi
    if [ "$state" != installed ]; then
        printf 'not ready: %s\n%s' "${state:-not looked at the host yet}" "$told"
        exit 1
    fi
    uptime_cs
    fraction=00
    case $INTERVAL in *.*) fraction=$(printf '%.2s' "${INTERVAL#*.}00") ;; esac
    # the 1 in front keeps 08 from being read as octal
    limit=$(((${INTERVAL%.*} * 100 + 1$fraction - 100) * 3))
    if [ $((now_cs - at_cs)) -gt "$limit" ]; then
        printf 'not ready: last looked at the host %s hundredths of a second ago, at most %s\n' $((now_cs - at_cs)) "$limit"
        exit 1
    fi
    look_target
    if [ "$lies" != "$spec_sha256" ]; then
        printf 'not ready: %s is not the installed spec (%s)\n' "$TARGET" "$lies"
        exit 1
    fi
}

case ${1:-} in
    run) run ;;
    check) check ;;
    *) printf 'usage: install.sh run|check\n' >&2; exit 2 ;;
esac
