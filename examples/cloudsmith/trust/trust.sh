#!/bin/sh
# For ServiceAccount shop/web to pull from docker.cloudsmith.io: rule cloudsmith, exchange cloudsmith.
#   issuer    https://oidc.team.example
#   audience  https://api.cloudsmith.io/keyless-pull
#   subject   system:serviceaccount:shop:web
# Note: give the service account the privilege Read on the repositories that this account should pull, and no other.
set -eu

: "${CLOUDSMITH_API_KEY:?API key of an owner of the organization}"

call() {
  printf 'header = "%s %s"\n' 'X-Api-Key:' "$CLOUDSMITH_API_KEY" | curl --silent --show-error --fail-with-body --config - "$@"
}

# Leave this away where the service account exists.
call --json '{
  "name": "shop-web-x7k2",
  "role": "Member"
}' --output /dev/null 'https://api.cloudsmith.io/orgs/team/services/'
call --json '{
  "name": "keyless-pull-shop-web",
  "enabled": true,
  "provider_url": "https://oidc.team.example",
  "claims": {
    "sub": "system:serviceaccount:shop:web",
    "aud": "https://api.cloudsmith.io/keyless-pull"
  },
  "service_accounts": [
    "shop-web-x7k2"
  ]
}' 'https://api.cloudsmith.io/orgs/team/openid-connect/'
