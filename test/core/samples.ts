// A host and good values of each registry family that other tools have annotations for.

export const QUAY_HOST = 'quay.team.example';

/** By kind; values for every parameter that is required or that other tools know. */
export const samples: Record<string, { host: string; values: Record<string, string> }> = {
  ecr: {
    host: '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
    values: { 'role-arn': 'arn:aws:iam::111122223333:role/puller' },
  },
  'ecr-public': {
    host: 'public.ecr.aws',
    values: { 'role-arn': 'arn:aws:iam::111122223333:role/puller' },
  },
  google: {
    host: 'europe-west1-docker.pkg.dev',
    values: {
      'workload-identity-provider': 'projects/1/locations/global/workloadIdentityPools/pool/providers/prov',
      'service-account-email': 'puller@shop.iam.gserviceaccount.com',
    },
  },
  acr: {
    host: 'shopregistry.azurecr.io',
    values: {
      'client-id': '11111111-2222-3333-4444-555555555555',
      'tenant-id': '66666666-7777-8888-9999-000000000000',
    },
  },
  quay: { host: QUAY_HOST, values: { robot: 'shop+puller' } },
  cloudsmith: { host: 'docker.cloudsmith.io', values: { organization: 'shop', service: 'puller-x1' } },
};
