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

# Needs the provider hashicorp/azurerm, 4.x.

variable "registry_resource_group" {
  type        = string
  description = "resource group of the registry"
}

data "azurerm_container_registry" "registry" {
  name                = "team"
  resource_group_name = var.registry_resource_group
}

resource "azurerm_user_assigned_identity" "pull" {
  name                = "keyless-pull-shop-web"
  resource_group_name = data.azurerm_container_registry.registry.resource_group_name
  location            = data.azurerm_container_registry.registry.location
}

resource "azurerm_federated_identity_credential" "pull" {
  name                = "keyless-pull-shop-web"
  resource_group_name = azurerm_user_assigned_identity.pull.resource_group_name
  parent_id           = azurerm_user_assigned_identity.pull.id
  issuer              = "https://oidc.team.example/id/A1"
  subject             = "system:serviceaccount:shop:web"
  audience            = ["keyless-pull.team.example/acr"]
}

resource "azurerm_role_assignment" "pull" {
  scope                = data.azurerm_container_registry.registry.id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.pull.principal_id
}

output "client_id" {
  value = azurerm_user_assigned_identity.pull.client_id
}
