#!/bin/sh
# For ServiceAccount shop/web to pull from teamregistry.azurecr.io: rule acr, exchange acr.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: an identity holds 20 federated credentials at most: accounts of one team may share an identity, or each gets its own.
# Note: issuer, subject and audience are compared letter by letter; a new credential takes minutes to be known everywhere.
# Note: a registry with attribute-based permissions wants the role Container Registry Repository Reader instead of AcrPull.
set -eu

REGISTRY=$(az acr show --name 'teamregistry' --query id --output tsv)

# A managed identity, or an application.
IDENTITY=$(az identity list --query '[?clientId=='\''aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'\''].name | [0]' --output tsv)
if [ -n "$IDENTITY" ]; then
  az identity federated-credential create --identity-name "$IDENTITY" \
    --resource-group "$(az identity list --query '[?clientId=='\''aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'\''].resourceGroup | [0]' --output tsv)" \
    --name 'keyless-pull-shop-web' \
    --issuer 'https://oidc.team.example' \
    --subject 'system:serviceaccount:shop:web' \
    --audiences 'keyless-pull.team.example'
else
  az ad app federated-credential create --id 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' --parameters '{
  "name": "keyless-pull-shop-web",
  "issuer": "https://oidc.team.example",
  "subject": "system:serviceaccount:shop:web",
  "audiences": [
    "keyless-pull.team.example"
  ]
}'
fi
PRINCIPAL=$(az ad sp show --id 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' --query id --output tsv)
az role assignment create --role AcrPull --scope "$REGISTRY" \
  --assignee-principal-type ServicePrincipal --assignee-object-id "$PRINCIPAL"
