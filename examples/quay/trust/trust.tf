# For ServiceAccount shop/web to pull from quay.io: rule quay, exchange quay.
#   issuer    https://oidc.team.example
#   audience  https://quay.io/keyless-pull
#   subject   system:serviceaccount:shop:web
# Note: Quay takes tokens that are signed RS256 or RS384, as clusters do unless they were told otherwise.
# Note: a Quay older than the middle of 2026 does not check the audience: any token of this account opens it, so keep the audience of the rule for Quay alone, and the account for pulls.
# Note: robot federation came with Quay 3.13; ROBOTS_DISALLOW must not be set.

# Needs Terraform 1.4 or later, and curl where it runs: no provider has robot federation.

variable "quay_token" {
  type        = string
  description = "OAuth token of an application that may administer the organization"
  sensitive   = true
}

variable "repository" {
  type        = string
  description = "repository that the account should pull, without the organization"
}

locals {
  federation = jsonencode([{
    issuer    = "https://oidc.team.example"
    subject   = "system:serviceaccount:shop:web"
    audiences = ["https://quay.io/keyless-pull"]
  }])
  # The list takes the place of the one that is there.
  federate = <<-EOT
    set -eu
    call() {
      printf 'header = "%s %s"\n' 'Authorization: Bearer' "$QUAY_TOKEN" | curl --silent --show-error --fail-with-body --config - "$@"
    }
    call --output /dev/null "$ROBOT" 2>/dev/null || call --request PUT --json '{}' --output /dev/null "$ROBOT"
    call --json "$FEDERATION" --output /dev/null "$ROBOT/federation"
    call --request PUT --json '{"role": "read"}' --output /dev/null "$PERMISSION"
  EOT
}

resource "terraform_data" "robot" {
  triggers_replace = [local.federation, var.repository]

  provisioner "local-exec" {
    environment = {
      QUAY_TOKEN = var.quay_token
      ROBOT      = "https://quay.io/api/v1/organization/team/robots/shop_web"
      FEDERATION = local.federation
      PERMISSION = join("", ["https://quay.io/api/v1/repository/team/", var.repository, "/permissions/user/team\u00252Bshop_web"])
    }
    command = local.federate
  }
}
