#!/bin/sh
# For ServiceAccount shop/web to pull from europe-west1-docker.pkg.dev: rule google, exchange google.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: the account pulls as itself, and its token is a general Google token: grant this principal nothing else.
# Note: enable once: gcloud services enable iam.googleapis.com sts.googleapis.com iamcredentials.googleapis.com artifactregistry.googleapis.com.
set -eu

: "${PROJECT:?id of the project of the pool}"
: "${REPOSITORY:?name of the Artifact Registry repository}"

# One for each cluster: leave both away where they exist.
gcloud iam workload-identity-pools create 'keyless-pull' --project="$PROJECT" --location=global
gcloud iam workload-identity-pools providers create-oidc 'cluster' \
  --project="$PROJECT" --location=global --workload-identity-pool='keyless-pull' \
  --issuer-uri='https://oidc.team.example' \
  --allowed-audiences='keyless-pull.team.example' \
  --attribute-mapping='google.subject=assertion.sub'
# If the provider is to serve this namespace alone:
#   --attribute-condition='assertion['\''kubernetes.io'\'']['\''namespace'\''] == '\''shop'\'''
# A private issuer: kubectl get --raw /openid/v1/jwks > jwks.json; again after every change of the keys:
#   gcloud iam workload-identity-pools providers update-oidc 'cluster' \
#     --project="$PROJECT" --location=global --workload-identity-pool='keyless-pull' --jwk-json-path=jwks.json

NUMBER='123456789012'
PRINCIPAL="principal://iam.googleapis.com/projects/$NUMBER/locations/global/workloadIdentityPools/"'keyless-pull/subject/system:serviceaccount:shop:web'

gcloud artifacts repositories add-iam-policy-binding "$REPOSITORY" \
  --project="${REGISTRY_PROJECT:-$PROJECT}" --location='europe-west1' \
  --role=roles/artifactregistry.reader --member="$PRINCIPAL"
