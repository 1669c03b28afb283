#!/bin/sh
# For ServiceAccount shop/web to pull from 111122223333.dkr.ecr.us-gov-west-1.amazonaws.com: rule ecr, exchange ecr.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/ecr
#   subject   system:serviceaccount:shop:web
# Nobody has set these yet; annotate the account with what they become:
#   keyless-pull.dev/role-arn: arn:aws-us-gov:iam::111122223333:role/keyless-pull-shop-web
#     role name chosen; the AWS account is the registry's own
# Note: narrow repository/* to the repositories that this account should pull.
# Note: ECR's logins live 12 hours, open all that the role may pull, and cannot be revoked.
set -eu

# One for each AWS account and issuer: where it exists, set PROVIDER to its ARN, and add the audience with
# aws iam add-client-id-to-open-id-connect-provider.
PROVIDER=${PROVIDER:-$(aws iam create-open-id-connect-provider \
  --url 'https://oidc.team.example/id/A1' \
  --client-id-list 'keyless-pull.team.example/ecr' \
  --query OpenIDConnectProviderArn --output text)}

aws iam create-role --role-name 'keyless-pull-shop-web' --path '/' \
  --assume-role-policy-document '{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Principal": {
        "Federated": "'"$PROVIDER"'"
      },
      "Condition": {
        "StringEquals": {
          "oidc.team.example/id/A1:sub": "system:serviceaccount:shop:web",
          "oidc.team.example/id/A1:aud": "keyless-pull.team.example/ecr"
        }
      }
    }
  ]
}'
aws iam put-role-policy --role-name 'keyless-pull-shop-web' --policy-name keyless-pull \
  --policy-document '{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "ecr:GetAuthorizationToken"
      ],
      "Resource": "*"
    },
    {
      "Effect": "Allow",
      "Action": [
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchCheckLayerAvailability"
      ],
      "Resource": "arn:aws-us-gov:ecr:us-gov-west-1:111122223333:repository/*"
    }
  ]
}'
