#!/bin/sh
# For ServiceAccount shop/web to pull from cgr.dev: rule chainguard, exchange chainguard.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/chainguard
#   subject   system:serviceaccount:shop:web
# Nobody has set these yet; annotate the account with what they become:
#   keyless-pull.dev/identity: 0000000000000000000000000000000000000000/0000000000000000
#     the identity's id, which the command prints
# Note: the role registry.pull is for all images of the organization.
set -eu

: "${ORGANIZATION:?name or id of the organization}"

chainctl iam identities create 'keyless-pull-shop-web' --parent="$ORGANIZATION" \
  --identity-issuer='https://oidc.team.example/id/A1' \
  --subject='system:serviceaccount:shop:web' \
  --audience='keyless-pull.team.example/chainguard' \
  --role=registry.pull --output=id

# An issuer that Chainguard cannot reach: create the identity with its keys instead of an audience, anew every 30 days.
#   kubectl get --raw /openid/v1/jwks > jwks.json
#   --issuer-keys="$(cat jwks.json)" --expiration=YYYY-MM-DD
