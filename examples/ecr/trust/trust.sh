#!/bin/sh
# For ServiceAccount shop/web to pull from 111122223333.dkr.ecr.eu-central-1.amazonaws.com: rule ecr, exchange ecr.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: narrow repository/* to the repositories that this account should pull.
# Note: ECR's logins live 12 hours, open all that the role may pull, and cannot be revoked.
set -eu

# One for each AWS account and issuer: where it exists, set PROVIDER to its ARN, and add the audience with
# aws iam add-client-id-to-open-id-connect-provider.
PROVIDER=${PROVIDER:-$(aws iam create-open-id-connect-provider \
  --url 'https://oidc.team.example' \
  --client-id-list 'keyless-pull.team.example' \
  --query OpenIDConnectProviderArn --output text)}

aws iam create-role --role-name 'shop-web' --path '/pull/' \
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
          "oidc.team.example:sub": "system:serviceaccount:shop:web",
          "oidc.team.example:aud": "keyless-pull.team.example"
        }
      }
    }
  ]
}'
aws iam put-role-policy --role-name 'shop-web' --policy-name keyless-pull \
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
      "Resource": "arn:aws:ecr:eu-central-1:111122223333:repository/*"
    }
  ]
}'
