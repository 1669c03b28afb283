# For ServiceAccount shop/web to pull from 111122223333.dkr.ecr.eu-central-1.amazonaws.com: rule ecr, exchange ecr.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: narrow repository/* to the repositories that this account should pull.
# Note: ECR's logins live 12 hours, open all that the role may pull, and cannot be revoked.

# Needs the provider hashicorp/aws, 6.0 or later.

# One for each AWS account and issuer: import it where it exists, and append the audience.
resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://oidc.team.example"
  client_id_list = ["keyless-pull.team.example"]
}

resource "aws_iam_role" "pull" {
  name = "shop-web"
  path = "/pull/"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.cluster.arn }
      Condition = {
        StringEquals = {
          "oidc.team.example:sub" = "system:serviceaccount:shop:web"
          "oidc.team.example:aud" = "keyless-pull.team.example"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "pull" {
  name = "keyless-pull"
  role = aws_iam_role.pull.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = "*"
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
        Resource = "arn:aws:ecr:eu-central-1:111122223333:repository/*"
      },
    ]
  })
}

output "role_arn" {
  value = aws_iam_role.pull.arn
}
