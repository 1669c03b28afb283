#!/bin/sh
# For ServiceAccount shop/web to pull from cgr.dev: rule chainguard, exchange chainguard.
#   issuer    https://oidc.team.example
#   audience  https://issuer.enforce.dev/keyless-pull
#   subject   system:serviceaccount:shop:web
# Note: the role registry.pull is for all images of the organization.
set -eu

chainctl iam identities update '0123456789abcdef0123456789abcdef01234567/89abcdef01234567' --yes \
  --identity-issuer='https://oidc.team.example' \
  --subject='system:serviceaccount:shop:web' \
  --audience='https://issuer.enforce.dev/keyless-pull'
chainctl iam role-bindings create --identity='0123456789abcdef0123456789abcdef01234567/89abcdef01234567' --role=registry.pull \
  --parent='0123456789abcdef0123456789abcdef01234567' --yes

# An issuer that Chainguard cannot reach: create the identity with its keys instead of an audience, anew every 30 days.
#   kubectl get --raw /openid/v1/jwks > jwks.json
#   --issuer-keys="$(cat jwks.json)" --expiration=YYYY-MM-DD
