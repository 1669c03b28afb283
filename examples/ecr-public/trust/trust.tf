# For ServiceAccount shop/web to pull from public.ecr.aws: rule ecr-public, exchange ecr-public.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: ECR Public can be pulled without a login too: this raises its rate limits.
# Note: ECR's logins live 12 hours, open all that the role may pull, and cannot be revoked.

# Needs the provider hashicorp/aws, 6.0 or later.

# One for each AWS account and issuer: import it where it exists, and append the audience.
resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://oidc.team.example"
  client_id_list = ["keyless-pull.team.example"]
}

resource "aws_iam_role" "pull" {
  name = "ecr-public-pull"
  path = "/"
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
        Action   = ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"]
        Resource = "*"
      },
    ]
  })
}

output "role_arn" {
  value = aws_iam_role.pull.arn
}
