#!/bin/sh
# For ServiceAccount shop/web to pull from eu.gcr.io: rule google, exchange google.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/google
#   subject   system:serviceaccount:shop:web
# Note: enable once: gcloud services enable iam.googleapis.com sts.googleapis.com iamcredentials.googleapis.com artifactregistry.googleapis.com.
set -eu

: "${PROJECT:?id of the project of the pool}"

# One for each cluster: leave both away where they exist.
gcloud iam workload-identity-pools create 'pool' --project="$PROJECT" --location=global
gcloud iam workload-identity-pools providers create-oidc 'cluster' \
  --project="$PROJECT" --location=global --workload-identity-pool='pool' \
  --issuer-uri='https://oidc.team.example/id/A1' \
  --allowed-audiences='keyless-pull.team.example/google' \
  --attribute-mapping='google.subject=assertion.sub'
# If the provider is to serve this namespace alone:
#   --attribute-condition='assertion['\''kubernetes.io'\'']['\''namespace'\''] == '\''shop'\'''
# A private issuer: kubectl get --raw /openid/v1/jwks > jwks.json; again after every change of the keys:
#   gcloud iam workload-identity-pools providers update-oidc 'cluster' \
#     --project="$PROJECT" --location=global --workload-identity-pool='pool' --jwk-json-path=jwks.json

NUMBER='42'
PRINCIPAL="principal://iam.googleapis.com/projects/$NUMBER/locations/global/workloadIdentityPools/"'pool/subject/system:serviceaccount:shop:web'

gcloud iam service-accounts add-iam-policy-binding 'puller@team.iam.gserviceaccount.com' \
  --role=roles/iam.workloadIdentityUser --member="$PRINCIPAL"
gcloud artifacts repositories add-iam-policy-binding 'eu.gcr.io' \
  --project="${REGISTRY_PROJECT:-$PROJECT}" --location='europe' \
  --role=roles/artifactregistry.reader --member='serviceAccount:puller@team.iam.gserviceaccount.com'
