#!/bin/sh
# Makes docker/.env out of .env.example and fills in the secrets that it does not have yet; nothing that is set changes.
set -eu
cd "$(dirname "$0")"
umask 077
[ -e .env ] || cp .env.example .env
chmod 600 .env

made=
for name in SECRET_KEY POSTGRES_PASSWORD REDIS_PASSWORD EVENT_SOCKET_PASSWORD DIRECTORY_PASSWORD CDR_PASSWORD; do
    grep -q "^$name=." .env && continue
    # 40 letters and digits, which mean the same in a URL, in XML and in a shell
    value=$(LC_ALL=C tr -dc A-Za-z0-9 </dev/urandom | head -c 40)
    [ ${#value} -eq 40 ] || { echo "No randomness could be read." >&2; exit 1; }
    if grep -q "^$name=" .env; then
        sed "s/^$name=.*/$name=$value/" .env >.env.new && mv .env.new .env
    else
        echo "$name=$value" >>.env
    fi
    made="$made $name"
done
echo "docker/.env:${made:- every secret was there}"

for name in SIP_DOMAIN EXTERNAL_IP ALLOWED_HOSTS; do
    grep -q "^$name=." .env || echo "Still to set in docker/.env: $name"
done
