#!/bin/sh
# For ServiceAccount shop/web to pull from team.jfrog.io: rule jfrog, exchange jfrog.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/jfrog
#   subject   system:serviceaccount:shop:web
# Nobody has set these yet; annotate the account with what they become:
#   keyless-pull.dev/provider: keyless-pull
#     name of the OIDC integration chosen
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
  "issuer_url": "https://oidc.team.example/id/A1",
  "provider_type": "Generic OpenID Connect",
  "audience": "keyless-pull.team.example/jfrog"
}' 'https://team.jfrog.io/access/api/v1/oidc'
call --json '{
  "name": "keyless-pull-shop-web",
  "priority": 1,
  "claims": {
    "iss": "https://oidc.team.example/id/A1",
    "sub": "system:serviceaccount:shop:web",
    "aud": "keyless-pull.team.example/jfrog"
  },
  "token_spec": {
    "username": "'"$PULL_USER"'",
    "scope": "applied-permissions/user",
    "audience": "*@*",
    "expires_in": 3600
  }
}' 'https://team.jfrog.io/access/api/v1/oidc/keyless-pull/identity_mappings'
