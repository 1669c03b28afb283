# For ServiceAccount shop/web to pull from 111122223333.dkr.ecr.us-gov-west-1.amazonaws.com: rule ecr, exchange ecr.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/ecr
#   subject   system:serviceaccount:shop:web
# Note: narrow repository/* to the repositories that this account should pull.
# Note: ECR's logins live 12 hours, open all that the role may pull, and cannot be revoked.
# Note: role arn:aws-us-gov:iam::444455556666:role/two is in another AWS account than the registry: its repositories need a policy that lets the role pull.

# Needs the provider hashicorp/aws, 6.0 or later.

# One for each AWS account and issuer: import it where it exists, and append the audience.
resource "aws_iam_openid_connect_provider" "cluster" {
  url            = "https://oidc.team.example/id/A1"
  client_id_list = ["keyless-pull.team.example/ecr"]
}

resource "aws_iam_role" "pull" {
  name = "one"
  path = "/pull/"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.cluster.arn }
      Condition = {
        StringEquals = {
          "oidc.team.example/id/A1:sub" = "system:serviceaccount:shop:web"
          "oidc.team.example/id/A1:aud" = "keyless-pull.team.example/ecr"
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
        Resource = "arn:aws-us-gov:ecr:us-gov-west-1:111122223333:repository/*"
      },
    ]
  })
}

output "role_arn" {
  value = aws_iam_role.pull.arn
}

resource "aws_iam_role" "pull_2" {
  name = "two"
  path = "/"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.cluster.arn }
      Condition = {
        StringEquals = {
          "oidc.team.example/id/A1:sub" = "system:serviceaccount:shop:web"
          "oidc.team.example/id/A1:aud" = "keyless-pull.team.example/ecr"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "pull_2" {
  name = "keyless-pull"
  role = aws_iam_role.pull_2.name
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
        Resource = "arn:aws-us-gov:ecr:us-gov-west-1:111122223333:repository/*"
      },
    ]
  })
}

output "role_arn_2" {
  value = aws_iam_role.pull_2.arn
}
