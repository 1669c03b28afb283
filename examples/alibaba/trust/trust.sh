#!/bin/sh
# For ServiceAccount shop/web to pull from team-registry.eu-central-1.cr.aliyuncs.com: rule alibaba, exchange alibaba.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: of the instance editions, only Enterprise knows this exchange.
# Note: narrow the policy to the repositories that this account should pull.
set -eu

: "${ACCOUNT:?number of the Alibaba Cloud account}"
: "${FINGERPRINT:?SHA-1 fingerprint of the CA certificate at the issuer}"

# One for each account and issuer: where it exists, leave this away and add the audience with AddClientIdToOIDCProvider.
aliyun ims CreateOIDCProvider --OIDCProviderName 'keyless-pull' \
  --IssuerUrl 'https://oidc.team.example' \
  --ClientIds 'keyless-pull.team.example' --Fingerprints "$FINGERPRINT"
PROVIDER="acs:ram::$ACCOUNT:oidc-provider/"'keyless-pull'

aliyun ram CreateRole --RoleName 'shop-web' \
  --AssumeRolePolicyDocument '{
  "Version": "1",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "sts:AssumeRole",
      "Principal": {
        "Federated": [
          "'"$PROVIDER"'"
        ]
      },
      "Condition": {
        "StringEquals": {
          "oidc:iss": [
            "https://oidc.team.example"
          ],
          "oidc:aud": [
            "keyless-pull.team.example"
          ],
          "oidc:sub": [
            "system:serviceaccount:shop:web"
          ]
        }
      }
    }
  ]
}'
aliyun ram CreatePolicy --PolicyName 'shop-web' \
  --PolicyDocument '{
  "Version": "1",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "cr:GetAuthorizationToken"
      ],
      "Resource": [
        "*"
      ]
    },
    {
      "Effect": "Allow",
      "Action": [
        "cr:PullRepository"
      ],
      "Resource": [
        "acs:cr:eu-central-1:*:repository/cri-0a1b2c3d4e5f/*"
      ]
    }
  ]
}'
aliyun ram AttachPolicyToRole --PolicyType Custom --PolicyName 'shop-web' --RoleName 'shop-web'
