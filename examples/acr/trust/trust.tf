# For ServiceAccount shop/web to pull from teamregistry.azurecr.io: rule acr, exchange acr.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: an identity holds 20 federated credentials at most: accounts of one team may share an identity, or each gets its own.
# Note: issuer, subject and audience are compared letter by letter; a new credential takes minutes to be known everywhere.
# Note: a registry with attribute-based permissions wants the role Container Registry Repository Reader instead of AcrPull.

# Needs the provider hashicorp/azurerm, 4.x.

variable "registry_resource_group" {
  type        = string
  description = "resource group of the registry"
}

data "azurerm_container_registry" "registry" {
  name                = "teamregistry"
  resource_group_name = var.registry_resource_group
}

variable "identity" {
  type        = string
  description = "name of the managed identity with the client id aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
}

variable "identity_resource_group" {
  type        = string
  description = "its resource group"
}

# An application instead of a managed identity: use azuread_application_federated_identity_credential.
data "azurerm_user_assigned_identity" "pull" {
  name                = var.identity
  resource_group_name = var.identity_resource_group
  lifecycle {
    postcondition {
      condition     = lower(self.client_id) == "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
      error_message = "This is another identity than the account's annotation names."
    }
  }
}

resource "azurerm_federated_identity_credential" "pull" {
  name                = "keyless-pull-shop-web"
  resource_group_name = data.azurerm_user_assigned_identity.pull.resource_group_name
  parent_id           = data.azurerm_user_assigned_identity.pull.id
  issuer              = "https://oidc.team.example"
  subject             = "system:serviceaccount:shop:web"
  audience            = ["keyless-pull.team.example"]
}

resource "azurerm_role_assignment" "pull" {
  scope                = data.azurerm_container_registry.registry.id
  role_definition_name = "AcrPull"
  principal_id         = data.azurerm_user_assigned_identity.pull.principal_id
}

output "client_id" {
  value = data.azurerm_user_assigned_identity.pull.client_id
}
