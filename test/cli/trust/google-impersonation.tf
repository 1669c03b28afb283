# For ServiceAccount shop/web to pull from eu.gcr.io: rule google, exchange google.
#   issuer    https://oidc.team.example/id/A1
#   audience  keyless-pull.team.example/google
#   subject   system:serviceaccount:shop:web
# Note: enable once: gcloud services enable iam.googleapis.com sts.googleapis.com iamcredentials.googleapis.com artifactregistry.googleapis.com.

# Needs the provider hashicorp/google, 6.0 or later, in the project of the pool.

# One for each cluster: import both where they exist.
resource "google_iam_workload_identity_pool" "cluster" {
  workload_identity_pool_id = "pool"
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
    issuer_uri        = "https://oidc.team.example/id/A1"
    allowed_audiences = ["keyless-pull.team.example/google"]
    # A private issuer: kubectl get --raw /openid/v1/jwks > jwks.json; again after every change of the keys.
    # jwks_json = file("jwks.json")
  }
}

data "google_service_account" "puller" {
  account_id = "puller@team.iam.gserviceaccount.com"
}

resource "google_service_account_iam_member" "account" {
  service_account_id = data.google_service_account.puller.name
  role               = "roles/iam.workloadIdentityUser"
  member = join("/", [
    "principal://iam.googleapis.com",
    google_iam_workload_identity_pool.cluster.name,
    "subject",
    "system:serviceaccount:shop:web",
  ])
}

resource "google_artifact_registry_repository_iam_member" "pull" {
  location   = "europe"
  repository = "eu.gcr.io"
  role       = "roles/artifactregistry.reader"
  member     = data.google_service_account.puller.member
}

output "workload_identity_provider" {
  value = google_iam_workload_identity_pool_provider.cluster.name
}
