# For ServiceAccount shop/web to pull from europe-west1-docker.pkg.dev: rule google, exchange google.
#   issuer    https://oidc.team.example
#   audience  keyless-pull.team.example
#   subject   system:serviceaccount:shop:web
# Note: the account pulls as itself, and its token is a general Google token: grant this principal nothing else.
# Note: enable once: gcloud services enable iam.googleapis.com sts.googleapis.com iamcredentials.googleapis.com artifactregistry.googleapis.com.

# Needs the provider hashicorp/google, 6.0 or later, in the project of the pool.

variable "repository" {
  type        = string
  description = "name of the Artifact Registry repository"
}

# One for each cluster: import both where they exist.
resource "google_iam_workload_identity_pool" "cluster" {
  workload_identity_pool_id = "keyless-pull"
}

resource "google_iam_workload_identity_pool_provider" "cluster" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.cluster.workload_identity_pool_id
  workload_identity_pool_provider_id = "cluster"
  attribute_mapping = {
    "google.subject" = "assertion.sub"
  }
  # If the provider is to serve this namespace alone:
  # attribute_condition = "assertion['kubernetes.io']['namespace'] == 'shop'"
  oidc {
    issuer_uri        = "https://oidc.team.example"
    allowed_audiences = ["keyless-pull.team.example"]
    # A private issuer: kubectl get --raw /openid/v1/jwks > jwks.json; again after every change of the keys.
    # jwks_json = file("jwks.json")
  }
}

resource "google_artifact_registry_repository_iam_member" "pull" {
  location   = "europe-west1"
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member = join("/", [
    "principal://iam.googleapis.com",
    google_iam_workload_identity_pool.cluster.name,
    "subject",
    "system:serviceaccount:shop:web",
  ])
}

output "workload_identity_provider" {
  value = google_iam_workload_identity_pool_provider.cluster.name
}
