# For ServiceAccount shop/web to pull from team.jfrog.io: rule jfrog, exchange jfrog.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/jfrog
#   subject   system:serviceaccount:shop:web
# Nobody has set these yet; annotate the account with what they become:
#   keyless-pull.dev/provider: keyless-pull
#     name of the OIDC integration chosen
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
  issuer_url    = "https://oidc.team.example/id/A1"
  provider_type = "generic"
  audience      = "keyless-pull.team.example/jfrog"
}

resource "platform_oidc_identity_mapping" "pull" {
  name          = "keyless-pull-shop-web"
  provider_name = platform_oidc_configuration.cluster.name
  priority      = 1
  claims_json = jsonencode({
    iss = "https://oidc.team.example/id/A1"
    sub = "system:serviceaccount:shop:web"
    aud = "keyless-pull.team.example/jfrog"
  })
  token_spec = {
    username   = var.username
    scope      = "applied-permissions/user"
    audience   = "*@*"
    expires_in = 3600
  }
}
