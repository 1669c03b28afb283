# For ServiceAccount shop/web to pull from registry.team.example:5000: rule token-realm, exchange token-realm.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/token-realm
#   subject   system:serviceaccount:shop:web
# Note: who has issuers and access already adds these entries to them.
# Note: an issuer whose own name leads nowhere from the registry: discoveryUrl; with a certificate of its own: certificateAuthorityFile.
# Note: the same for zot, which needs no token server: --format zot; for docker_auth: keyless-pull verify-token --config FILE.

# Needs the provider hashicorp/kubernetes, for the cluster of the token server.

variable "namespace" {
  type        = string
  description = "namespace of the token server"
}

resource "kubernetes_config_map_v1" "token_server" {
  metadata {
    name      = "token-server"
    namespace = var.namespace
  }
  data = {
    "token-server.yaml" = jsonencode({
      apiVersion = "keyless-pull.dev/v1"
      kind = "TokenServerConfig"
      registry = {
        service = "registry.team.example:5000"
        issuer = "keyless-pull"
      }
      signing = {
        keys = [
          {
            keyFile = "signing/key.pem"
            certificateFile = "signing/chain.pem"
          },
        ]
      }
      tls = {
        certificateFile = "tls/tls.crt"
        keyFile = "tls/tls.key"
      }
      issuers = [
        {
          issuer = "https://oidc.team.example/id/A1"
          audience = "keyless-pull.team.example/token-realm"
        },
      ]
      access = [
        {
          issuer = "https://oidc.team.example/id/A1"
          namespaces = [
            "shop",
          ]
          serviceAccounts = [
            "web",
          ]
          repositories = [
            "{namespace}/**",
          ]
          actions = [
            "pull",
          ]
        },
      ]
    })
  }
}
