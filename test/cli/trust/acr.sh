#!/bin/sh
# For ServiceAccount shop/web to pull from team-h1a2b3c4d5e6f7g8.azurecr.io: rule acr, exchange acr.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/acr
#   subject   system:serviceaccount:shop:web
# Nobody has set these yet; annotate the account with what they become:
#   keyless-pull.dev/client-id: 00000000-0000-0000-0000-000000000000
#     the client id of the managed identity keyless-pull-shop-web, which is known once it exists
#   keyless-pull.dev/tenant-id: 00000000-0000-0000-0000-000000000000
#     your tenant: az account show --query tenantId
# Note: an identity holds 20 federated credentials at most: accounts of one team may share an identity, or each gets its own.
# Note: issuer, subject and audience are compared letter by letter; a new credential takes minutes to be known everywhere.
# Note: a registry with attribute-based permissions wants the role Container Registry Repository Reader instead of AcrPull.
# Note: team-h1a2b3c4d5e6f7g8 may be a name with a hash behind it: the registry's own name has no "-".
set -eu

: "${RESOURCE_GROUP:?resource group for the new identity}"

REGISTRY=$(az acr show --name 'team' --query id --output tsv)

az identity create --name 'keyless-pull-shop-web' --resource-group "$RESOURCE_GROUP" --output none
az identity federated-credential create --identity-name 'keyless-pull-shop-web' --resource-group "$RESOURCE_GROUP" \
    --name 'keyless-pull-shop-web' \
    --issuer 'https://oidc.team.example/id/A1' \
    --subject 'system:serviceaccount:shop:web' \
    --audiences 'keyless-pull.team.example/acr'
PRINCIPAL=$(az identity show --name 'keyless-pull-shop-web' --resource-group "$RESOURCE_GROUP" --query principalId --output tsv)
az role assignment create --role AcrPull --scope "$REGISTRY" \
  --assignee-principal-type ServicePrincipal --assignee-object-id "$PRINCIPAL"

# For the annotations of the account:
az identity show --name 'keyless-pull-shop-web' --resource-group "$RESOURCE_GROUP" --query '{"client-id": clientId, "tenant-id": tenantId}'
