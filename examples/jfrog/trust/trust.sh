#!/bin/sh
# For ServiceAccount shop/web to pull from team.jfrog.io: rule jfrog, exchange jfrog.
#   issuer    https://oidc.team.example
#   audience  https://team.jfrog.io
#   subject   system:serviceaccount:shop:web
# Note: the user needs read permission on the repositories, and nothing else.
# Note: an identity mapping can say expires_in: the token that is issued cannot be revoked by us before.
set -eu

: "${JFROG_TOKEN:?access token of an administrator}"
: "${PULL_USER:?user of the platform that the account becomes}"

call() {
  printf 'header = "%s %s"\n' 'Authorization: Bearer' "$JFROG_TOKEN" | curl --silent --show-error --fail-with-body --config - "$@"
}

# One for each cluster: leave it away where it exists.
call --json '{
  "name": "keyless-pull",
  "issuer_url": "https://oidc.team.example",
  "provider_type": "Generic OpenID Connect",
  "audience": "https://team.jfrog.io"
}' 'https://team.jfrog.io/access/api/v1/oidc'
call --json '{
  "name": "shop-web",
  "priority": 1,
  "claims": {
    "iss": "https://oidc.team.example",
    "sub": "system:serviceaccount:shop:web",
    "aud": "https://team.jfrog.io"
  },
  "token_spec": {
    "username": "'"$PULL_USER"'",
    "scope": "applied-permissions/user",
    "audience": "*@*",
    "expires_in": 3600
  }
}' 'https://team.jfrog.io/access/api/v1/oidc/keyless-pull/identity_mappings'
