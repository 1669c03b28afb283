#!/bin/sh
# For ServiceAccount shop/web to pull from quay.io: rule quay, exchange quay.
#   issuer    https://oidc.team.example
#   audience  https://quay.io/keyless-pull
#   subject   system:serviceaccount:shop:web
# Note: Quay takes tokens that are signed RS256 or RS384, as clusters do unless they were told otherwise.
# Note: a Quay older than the middle of 2026 does not check the audience: any token of this account opens it, so keep the audience of the rule for Quay alone, and the account for pulls.
# Note: robot federation came with Quay 3.13; ROBOTS_DISALLOW must not be set.
set -eu

: "${QUAY_TOKEN:?OAuth token of an application that may administer the organization}"
: "${REPOSITORY:?repository that the account should pull, without the organization}"

call() {
  printf 'header = "%s %s"\n' 'Authorization: Bearer' "$QUAY_TOKEN" | curl --silent --show-error --fail-with-body --config - "$@"
}

call --output /dev/null 'https://quay.io/api/v1/organization/team/robots/shop_web' 2>/dev/null || call --request PUT --json '{}' --output /dev/null 'https://quay.io/api/v1/organization/team/robots/shop_web'
# The list takes the place of the one that is there: the same call without --json shows it.
call --json '[
  {
    "issuer": "https://oidc.team.example",
    "subject": "system:serviceaccount:shop:web",
    "audiences": [
      "https://quay.io/keyless-pull"
    ]
  }
]' 'https://quay.io/api/v1/organization/team/robots/shop_web'/federation
call --request PUT --json '{"role": "read"}' 'https://quay.io/api/v1/repository/team/'"$REPOSITORY"'/permissions/user/team%2Bshop_web'
