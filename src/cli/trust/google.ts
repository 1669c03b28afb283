// Google's side: the cluster as provider of a workload identity pool, and the right to read one repository.
// https://cloud.google.com/iam/docs/workload-identity-federation-with-kubernetes
import { comment, hclQuoted, hclVariable, shellQuoted, shellVariable } from './quoting.ts';
import { isChosen, numbered, type FamilyTrust, type Trust } from './trust.ts';

const PROVIDER = 'workload-identity-provider';
const LONGEST_SUBJECT = 127;
const LONGEST_AUDIENCE = 256;
const PRIVATE_ISSUER = 'kubectl get --raw /openid/v1/jwks > jwks.json; again after every change of the keys';

/** What is left of Container Registry: repositories of that name. */
const gcrLocations: Readonly<Record<string, string>> = {
  'gcr.io': 'us',
  'us.gcr.io': 'us',
  'eu.gcr.io': 'europe',
  'asia.gcr.io': 'asia',
};

export const googleTrust: FamilyTrust = {
  forms: { terraform, commands },
  choose: {
    [PROVIDER]: () => ({
      value: 'projects/0/locations/global/workloadIdentityPools/keyless-pull/providers/cluster',
      told: 'pool and provider chosen; 0 stands for the number of your project',
    }),
  },
  notes: ({ principals }) => [
    ...(principals.some(emailOf)
      ? []
      : [
          'the account pulls as itself, and its token is a general Google token: grant this principal nothing else',
        ]),
    'enable once: gcloud services enable iam.googleapis.com sts.googleapis.com iamcredentials.googleapis.com artifactregistry.googleapis.com',
  ],
  faults: ({ subject, audience }) => {
    const bytes = Buffer.byteLength(subject);
    const faults: string[] = [];
    if (bytes > LONGEST_SUBJECT)
      faults.push(
        `google.subject holds ${LONGEST_SUBJECT} bytes and this subject has ${bytes}: shorten the names, or map assertion.sub.extract('system:serviceaccount:{rest}') and grant to that`,
      );
    if (audience.length > LONGEST_AUDIENCE)
      faults.push(
        `Google allows audiences of ${LONGEST_AUDIENCE} characters, this one has ${audience.length}`,
      );
    return faults;
  },
  refusal({ principals, namespace, account }) {
    const pool = principals[0]?.['sts-audience']?.split(':')[1];
    if (!principals[0]?.['sts-audience']?.startsWith('identitynamespace:')) return undefined;
    return `the pool ${pool} is the fleet's own and trusts the cluster already: grant roles/artifactregistry.reader to principal://iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/${pool}/subject/ns/${namespace}/sa/${account}`;
  },
};

function emailOf(principal: Readonly<Record<string, string>>): string | undefined {
  return principal['service-account-email'];
}

interface Names {
  readonly number: string | undefined;
  readonly pool: string;
  readonly provider: string;
  readonly location: string | undefined;
  readonly repository: string | undefined;
}

function namesOf(trust: Trust): Names {
  const [, number, , , , pool = '', , provider = ''] = (trust.principals[0]?.[PROVIDER] ?? '').split('/');
  const isOld = gcrLocations[trust.host] !== undefined;
  return {
    number: isChosen(trust, PROVIDER) ? undefined : number,
    pool,
    provider,
    location: trust.parts['location'] ?? gcrLocations[trust.host],
    repository: isOld ? trust.host : undefined,
  };
}

const conditionOf = ({ namespace }: Trust) => `assertion['kubernetes.io']['namespace'] == '${namespace}'`;

function terraform(trust: Trust): string {
  const { issuer, audience, subject, principals } = trust;
  const { pool, provider, location, repository } = namesOf(trust);
  const principal = `join("/", [
    "principal://iam.googleapis.com",
    google_iam_workload_identity_pool.cluster.name,
    "subject",
    ${hclQuoted(subject)},
  ])`;
  const emails = principals.flatMap((each) => emailOf(each) ?? []);
  const readers = emails.map(
    (email, at) => `
data "google_service_account" "puller${numbered(at)}" {
  account_id = ${hclQuoted(email)}
}

resource "google_service_account_iam_member" "account${numbered(at)}" {
  service_account_id = data.google_service_account.puller${numbered(at)}.name
  role               = "roles/iam.workloadIdentityUser"
  member = ${principal}
}

${reader(at, `data.google_service_account.puller${numbered(at)}.member`)}`,
  );
  const reader0 = `\n${reader(0, principal)}`;
  function reader(at: number, member: string): string {
    const isShort = !member.includes('\n');
    return `resource "google_artifact_registry_repository_iam_member" "pull${numbered(at)}" {
  location   = ${location ? hclQuoted(location) : 'var.location'}
  repository = ${repository ? hclQuoted(repository) : 'var.repository'}
  role       = "roles/artifactregistry.reader"
  member${isShort ? '    ' : ''} = ${member}
}
`;
  }
  return `# Needs the provider hashicorp/google, 6.0 or later, in the project of the pool.

${location ? '' : hclVariable('location', 'location of the Artifact Registry repository')}${repository ? '' : hclVariable('repository', 'name of the Artifact Registry repository')}# One for each cluster: import both where they exist.
resource "google_iam_workload_identity_pool" "cluster" {
  workload_identity_pool_id = ${hclQuoted(pool)}
}

resource "google_iam_workload_identity_pool_provider" "cluster" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.cluster.workload_identity_pool_id
  workload_identity_pool_provider_id = ${hclQuoted(provider)}
  attribute_mapping = {
    "google.subject" = "assertion.sub"
  }
  # If the provider is to serve this namespace alone:
  ${comment(`attribute_condition = ${hclQuoted(conditionOf(trust))}`)}
  oidc {
    issuer_uri        = ${hclQuoted(issuer)}
    allowed_audiences = [${hclQuoted(audience)}]
    # A private issuer: ${PRIVATE_ISSUER}.
    # jwks_json = file("jwks.json")
  }
}
${emails.length > 0 ? readers.join('') : reader0}
output "workload_identity_provider" {
  value = google_iam_workload_identity_pool_provider.cluster.name
}
`;
}

function commands(trust: Trust): string {
  const { issuer, audience, subject, principals } = trust;
  const { number, pool, provider, location, repository } = namesOf(trust);
  const placed = [
    location ? '' : shellVariable('LOCATION', 'location of the Artifact Registry repository'),
    repository ? '' : shellVariable('REPOSITORY', 'name of the Artifact Registry repository'),
  ].join('');
  const where = `--project="$PROJECT" --location=global --workload-identity-pool=${shellQuoted(pool)}`;
  const emails = principals.flatMap((each) => emailOf(each) ?? []);
  const read = (member: string) => `
gcloud artifacts repositories add-iam-policy-binding ${repository ? shellQuoted(repository) : '"$REPOSITORY"'} \\
  --project="\${REGISTRY_PROJECT:-$PROJECT}" --location=${location ? shellQuoted(location) : '"$LOCATION"'} \\
  --role=roles/artifactregistry.reader --member=${member}
`;
  const grants = emails.map(
    (email) => `
gcloud iam service-accounts add-iam-policy-binding ${shellQuoted(email)} \\
  --role=roles/iam.workloadIdentityUser --member="$PRINCIPAL"
${read(shellQuoted(`serviceAccount:${email}`)).trimStart()}`,
  );
  return `${shellVariable('PROJECT', 'id of the project of the pool')}${placed}
# One for each cluster: leave both away where they exist.
gcloud iam workload-identity-pools create ${shellQuoted(pool)} --project="$PROJECT" --location=global
gcloud iam workload-identity-pools providers create-oidc ${shellQuoted(provider)} \\
  ${where} \\
  --issuer-uri=${shellQuoted(issuer)} \\
  --allowed-audiences=${shellQuoted(audience)} \\
  --attribute-mapping='google.subject=assertion.sub'
# If the provider is to serve this namespace alone:
${comment(`  --attribute-condition=${shellQuoted(conditionOf(trust))}`)}
# A private issuer: ${PRIVATE_ISSUER}:
${comment(`  gcloud iam workload-identity-pools providers update-oidc ${shellQuoted(provider)} \\`)}
${comment(`    ${where} --jwk-json-path=jwks.json`)}

NUMBER=${number ? shellQuoted(number) : `$(gcloud projects describe "$PROJECT" --format='value(projectNumber)')`}
PRINCIPAL="principal://iam.googleapis.com/projects/$NUMBER/locations/global/workloadIdentityPools/"${shellQuoted(`${pool}/subject/${subject}`)}
${emails.length > 0 ? grants.join('') : read('"$PRINCIPAL"')}`;
}
