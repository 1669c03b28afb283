# For ServiceAccount shop/web to pull from team.jfrog.io: rule jfrog, exchange jfrog.
#   issuer    https://oidc.team.example
#   audience  https://team.jfrog.io
#   subject   system:serviceaccount:shop:web
# Note: the user needs read permission on the repositories, and nothing else.
# Note: an identity mapping can say expires_in: the token that is issued cannot be revoked by us before.

# Needs the provider jfrog/platform, 2.0 or later.

variable "username" {
  type        = string
  description = "user of the platform that the account becomes"
}

# One for each cluster: import it where it exists.
resource "platform_oidc_configuration" "cluster" {
  name          = "keyless-pull"
  issuer_url    = "https://oidc.team.example"
  provider_type = "generic"
  audience      = "https://team.jfrog.io"
}

resource "platform_oidc_identity_mapping" "pull" {
  name          = "shop-web"
  provider_name = platform_oidc_configuration.cluster.name
  priority      = 1
  claims_json = jsonencode({
    iss = "https://oidc.team.example"
    sub = "system:serviceaccount:shop:web"
    aud = "https://team.jfrog.io"
  })
  token_spec = {
    username   = var.username
    scope      = "applied-permissions/user"
    audience   = "*@*"
    expires_in = 3600
  }
}
