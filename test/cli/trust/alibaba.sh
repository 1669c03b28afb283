#!/bin/sh
# For ServiceAccount shop/web to pull from team-registry.eu-central-1.cr.aliyuncs.com: rule alibaba, exchange alibaba.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/alibaba
#   subject   system:serviceaccount:shop:web
# Nobody has set these yet; annotate the account with what they become:
#   keyless-pull.dev/role-arn: acs:ram::0:role/keyless-pull-shop-web
#     role name chosen; 0 stands for the number of your account
#   keyless-pull.dev/oidc-provider-arn: acs:ram::0:oidc-provider/keyless-pull
#     provider name chosen; 0 stands for the number of your account
#   keyless-pull.dev/instance-id: cri-00000000
#     the id of the instance team: aliyun cr ListInstance
# Note: of the instance editions, only Enterprise knows this exchange.
# Note: narrow the policy to the repositories that this account should pull.
set -eu

: "${ACCOUNT:?number of the Alibaba Cloud account}"
: "${FINGERPRINT:?SHA-1 fingerprint of the CA certificate at the issuer}"

# One for each account and issuer: where it exists, leave this away and add the audience with AddClientIdToOIDCProvider.
aliyun ims CreateOIDCProvider --OIDCProviderName 'keyless-pull' \
  --IssuerUrl 'https://oidc.team.example/id/A1' \
  --ClientIds 'keyless-pull.team.example/alibaba' --Fingerprints "$FINGERPRINT"
PROVIDER="acs:ram::$ACCOUNT:oidc-provider/"'keyless-pull'

aliyun ram CreateRole --RoleName 'keyless-pull-shop-web' \
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
            "https://oidc.team.example/id/A1"
          ],
          "oidc:aud": [
            "keyless-pull.team.example/alibaba"
          ],
          "oidc:sub": [
            "system:serviceaccount:shop:web"
          ]
        }
      }
    }
  ]
}'
aliyun ram CreatePolicy --PolicyName 'keyless-pull-shop-web' \
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
        "acs:cr:eu-central-1:*:repository/*/*"
      ]
    }
  ]
}'
aliyun ram AttachPolicyToRole --PolicyType Custom --PolicyName 'keyless-pull-shop-web' --RoleName 'keyless-pull-shop-web'

# For the annotation instance-id of the account:
aliyun cr ListInstance --region 'eu-central-1' --InstanceName 'team'
