#!/bin/sh
# Starts FreeSWITCH with our configuration: settings come from the environment, and what is missing or wrong stops it
# here, with what to do, instead of leaving a switch that is open or deaf.
set -eu

stop() { echo "freeswitch: $1" >&2; exit 64; }

secret() {  # it stands in XML and in URLs as it is
    eval "value=\${$1:-}"
    case $value in
        "") stop "$1 is not set. docker/make-secrets.sh makes one." ;;
        *[!A-Za-z0-9_-]*) stop "$1 has other characters than letters, digits, “_” and “-”. docker/make-secrets.sh makes one." ;;
    esac
    [ ${#value} -ge 16 ] || stop "$1 is shorter than 16 characters. docker/make-secrets.sh makes one."
}

number() {
    eval "value=\${$1}"
    case $value in
        "" | *[!0-9]*) stop "$1 is “$value”. Set it to a whole number." ;;
    esac
}

word() {  # of characters that mean nothing to XML or to the switch's preprocessor
    eval "value=\${$1:-}"
    case $value in
        "") stop "$1 is not set. $2" ;;
        *[!A-Za-z0-9.:/,_@-]*) stop "$1 is “$value”. $2" ;;
    esac
}

[ -n "${BIND_IP:-}" ] || unset BIND_IP  # then the switch takes the address of its default route
: "${CODECS:=PCMA,PCMU}" "${SWITCH_LOG_LEVEL:=notice}"
: "${PHONE_SIP_PORT:=5060}" "${CARRIER_SIP_PORT:=5080}" "${WS_PORT:=5066}" "${WSS_PORT:=7443}"
: "${RTP_START_PORT:=16384}" "${RTP_END_PORT:=16583}"
: "${MAX_SESSIONS:=1000}" "${SESSIONS_PER_SECOND:=30}"
: "${EVENT_SOCKET_ADDRESS:=127.0.0.1}" "${EVENT_SOCKET_PORT:=8021}" "${EVENT_SOCKET_ALLOW:=127.0.0.0/8}"
: "${APP_URL:=http://web:8000}"
: "${FREESWITCH:=freeswitch}" "${CONF_DIR:=/etc/freeswitch}" "${LOCAL_DIR:=/etc/freeswitch-local}"
: "${STATE_DIR:=/var/lib/freeswitch}" "${RECORDINGS_DIR:=/var/lib/freeswitch/recordings}"
: "${SPOOL_DIR:=/var/spool/freeswitch/cdr}" "${CERTS_DIR:=/var/lib/freeswitch/certs}"
: "${RUN_DIR:=/run/freeswitch}" "${TEMP_DIR:=/tmp}"

case ${PHONE_TRANSFERS:-false} in
    [Tt]rue | 1 | yes | on) NO_TRANSFERS=false ;;
    [Ff]alse | 0 | no | off) NO_TRANSFERS=true ;;
    *) stop "PHONE_TRANSFERS is “$PHONE_TRANSFERS”. Set it to true or false." ;;
esac

secret EVENT_SOCKET_PASSWORD
secret DIRECTORY_PASSWORD
secret CDR_PASSWORD
word SIP_DOMAIN "Set it to the domain that phones register at, for example sip.example.org, the same as for the dialer."
word EXTERNAL_IP "Set it to the address under which phones and carriers reach this machine."
word APP_URL "Set it to where the dialer's web answers the switch, for example http://web:8000."
word EVENT_SOCKET_ALLOW "Set it to the network of the dialer, for example 172.30.130.0/24."
case $EVENT_SOCKET_ADDRESS in
    *[!0-9.]*) stop "EVENT_SOCKET_ADDRESS is “$EVENT_SOCKET_ADDRESS”. Set it to this switch's IPv4 address in the network of the dialer." ;;
esac
word CODECS "Set it to names of codecs separated by commas, for example PCMA,PCMU."
for name in PHONE_SIP_PORT CARRIER_SIP_PORT WS_PORT WSS_PORT RTP_START_PORT RTP_END_PORT MAX_SESSIONS \
    SESSIONS_PER_SECOND EVENT_SOCKET_PORT; do
    number "$name"
done
for folder in "$STATE_DIR/db" "$STATE_DIR/storage" "$STATE_DIR/cache" "$RECORDINGS_DIR" "$SPOOL_DIR" "$CERTS_DIR" "$RUN_DIR"; do
    mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] || stop "$folder cannot be written by user $(id -u)."
done

export SIP_DOMAIN EXTERNAL_IP CODECS SWITCH_LOG_LEVEL PHONE_SIP_PORT CARRIER_SIP_PORT WS_PORT WSS_PORT \
    RTP_START_PORT RTP_END_PORT MAX_SESSIONS SESSIONS_PER_SECOND EVENT_SOCKET_ADDRESS EVENT_SOCKET_PORT \
    EVENT_SOCKET_ALLOW EVENT_SOCKET_PASSWORD APP_URL DIRECTORY_PASSWORD CDR_PASSWORD SPOOL_DIR LOCAL_DIR \
    NO_TRANSFERS

exec "$FREESWITCH" -nc -nonat -nf -conf "$CONF_DIR" -log "$RUN_DIR" -db "$STATE_DIR/db" -run "$RUN_DIR" \
    -storage "$STATE_DIR/storage" -cache "$STATE_DIR/cache" -certs "$CERTS_DIR" -recordings "$RECORDINGS_DIR" \
    -temp "$TEMP_DIR"
