#!/bin/sh
# For ServiceAccount shop/web to pull from registry.team.example: rule team-registry, exchange token-exchange.
#   issuer    https://oidc.team.example
#   audience  https://login.team.example
#   subject   system:serviceaccount:shop:web
# Note: token services are told whom to trust each in its own way: yours must take the issuer, the audience and the subject above, all three; what follows tries it.
# Note: the issuer's keys are found by /.well-known/openid-configuration, or with kubectl get --raw /openid/v1/jwks.
set -eu

# 200: the account is trusted.
kubectl create token 'web' --namespace 'shop' --audience 'https://login.team.example' --duration 10m |
  tr -d '\n' |
  curl --silent --show-error --output /dev/null --write-out '%{http_code}\n' \
    --data-urlencode 'subject_token@-' \
    --data-urlencode 'grant_type=urn:ietf:params:oauth:grant-type:token-exchange' \
    --data-urlencode 'subject_token_type=urn:ietf:params:oauth:token-type:jwt' \
    --data-urlencode 'audience=registry' \
    --data-urlencode 'client_id=registry-pull' \
    'https://login.team.example/realms/team/protocol/openid-connect/token'
