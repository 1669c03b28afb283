#!/bin/sh
# For ServiceAccount shop/web to pull from docker.cloudsmith.io: rule cloudsmith, exchange cloudsmith.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/cloudsmith
#   subject   system:serviceaccount:shop:web
# Nobody has set these yet; annotate the account with what they become:
#   keyless-pull.dev/organization: organization
#     stands for your organization's slug
#   keyless-pull.dev/service: keyless-pull-shop-web
#     slug of the service account chosen; Cloudsmith may put something behind it
# Note: give the service account the privilege Read on the repositories that this account should pull, and no other.
set -eu

: "${CLOUDSMITH_API_KEY:?API key of an owner of the organization}"

call() {
  printf 'header = "%s %s"\n' 'X-Api-Key:' "$CLOUDSMITH_API_KEY" | curl --silent --show-error --fail-with-body --config - "$@"
}

# Leave this away where the service account exists.
call --json '{
  "name": "keyless-pull-shop-web",
  "role": "Member"
}' --output /dev/null 'https://api.cloudsmith.io/orgs/organization/services/'
call --json '{
  "name": "keyless-pull-shop-web",
  "enabled": true,
  "provider_url": "https://oidc.team.example/id/A1",
  "claims": {
    "sub": "system:serviceaccount:shop:web",
    "aud": "keyless-pull.team.example/cloudsmith"
  },
  "service_accounts": [
    "keyless-pull-shop-web"
  ]
}' 'https://api.cloudsmith.io/orgs/organization/openid-connect/'
