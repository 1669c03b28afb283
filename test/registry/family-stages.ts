// One rule and one account for each registry family, with a good value for every parameter, and a world of registries that
// answers whatever it is asked: for tests of where requests go, not of what comes of them.
import { plannedOf, ruleFrom } from '../fakes/builders.ts';
import { createRecorder } from './recorder.ts';
import { ACCOUNT } from './set-up.ts';
import { createExchange } from '../../src/registry/exchange.ts';
import { families } from '../../src/registry/families.ts';
import type { RegistryFamily } from '../../src/registry/registry-family.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import type { PlannedNeed } from '../../src/core/pull-plan.ts';
import type { HttpRequest } from '../../src/registry/http-call.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';

export interface FamilyStage {
  readonly host: string;
  /** Where its requests may go, in order. */
  readonly goes: readonly string[];
  readonly exchange?: Readonly<Record<string, unknown>>;
  /** A good value for every parameter of the family. */
  readonly good: Readonly<Record<string, string>>;
}

const ROLE = 'arn:aws:iam::111122223333:role/path/puller';
const GUID = '11111111-2222-3333-4444-555555555555';

export const stages: Readonly<Record<string, FamilyStage>> = {
  'pass-through': { host: 'registry.team.example', goes: [], good: {} },
  'token-realm': {
    host: 'registry.team.example',
    goes: ['registry.team.example', 'registry.team.example'],
    good: {},
  },
  ecr: {
    host: '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
    goes: ['sts.eu-west-1.amazonaws.com', 'api.ecr.eu-west-1.amazonaws.com'],
    good: { 'role-arn': ROLE },
  },
  'ecr-public': {
    host: 'public.ecr.aws',
    goes: ['sts.us-east-1.amazonaws.com', 'api.ecr-public.us-east-1.amazonaws.com'],
    good: { 'role-arn': ROLE },
  },
  google: {
    host: 'europe-west1-docker.pkg.dev',
    goes: ['sts.googleapis.com', 'iamcredentials.googleapis.com'],
    good: {
      'workload-identity-provider': 'projects/1/locations/global/workloadIdentityPools/pool/providers/prov',
      'service-account-email': 'puller@shop.iam.gserviceaccount.com',
      'sts-audience': 'identitynamespace:shop.svc.id.goog:https://issuer.example',
      'universe-domain': 'googleapis.com',
    },
  },
  acr: {
    host: 'shopregistry.azurecr.io',
    goes: ['login.microsoftonline.com', 'shopregistry.azurecr.io'],
    good: {
      'client-id': GUID,
      'tenant-id': GUID.replaceAll('1', 'a'),
      scope: 'https://containerregistry.azure.net/.default',
    },
  },
  'token-exchange': {
    host: 'registry.team.example',
    goes: ['sts.team.example'],
    exchange: { endpoint: 'https://sts.team.example/oauth2/token' },
    good: {
      grant: 'token-exchange',
      audience: 'registry',
      resource: 'https://registry.team.example/',
      scope: 'pull',
      'subject-token-type': 'urn:ietf:params:oauth:token-type:jwt',
      'requested-token-type': 'urn:ietf:params:oauth:token-type:access_token',
      'client-id': 'cluster',
      'username-claim': 'sub',
      'lifetime-seconds': '3600',
    },
  },
  quay: { host: 'quay.team.example', goes: ['quay.team.example'], good: { robot: 'shop+puller' } },
  jfrog: {
    host: 'shop.jfrog.example',
    goes: ['shop.jfrog.example'],
    good: { provider: 'cluster', project: 'shop', 'identity-mapping': 'puller', 'token-audience': 'jfrt@x' },
  },
  cloudsmith: {
    host: 'docker.cloudsmith.io',
    goes: ['api.cloudsmith.io'],
    good: { organization: 'shop', service: 'puller-x1' },
  },
  chainguard: {
    host: 'cgr.dev',
    goes: ['issuer.enforce.dev'],
    good: { identity: `${'0123456789'.repeat(4)}/0123456789abcdef` },
  },
  alibaba: {
    host: 'shop-registry.eu-central-1.cr.aliyuncs.com',
    goes: ['sts.eu-central-1.aliyuncs.com', 'cr.eu-central-1.aliyuncs.com'],
    good: {
      'role-arn': 'acs:ram::1135115445850000:role/puller',
      'oidc-provider-arn': 'acs:ram::1135115445850000:oidc-provider/cluster',
      'instance-id': 'cri-abcdef0123456789',
    },
  },
};

/** What every registry's services answer in one: each family reads what it knows. */
function answerAll({ url }: HttpRequest): { headers?: Record<string, string>; body: unknown } {
  const END = '2026-11-21T13:00:00Z';
  if (url.pathname === '/v2/') {
    const realm = `Bearer realm="${url.origin}/auth/token",service="registry"`;
    return { headers: { 'www-authenticate': realm }, body: {} };
  }
  if (/^sts[.-].*\.amazonaws\.com/.test(url.host)) {
    const leaf = (name: string) => `<${name}>ABCDEFGHIJKLMNOPQRST</${name}>`;
    return { body: `<A>${leaf('AccessKeyId')}${leaf('SecretAccessKey')}${leaf('SessionToken')}</A>` };
  }
  const login = { authorizationToken: btoa('AWS:password'), expiresAt: Date.parse(END) / 1000 };
  const Credentials = { AccessKeyId: 'STS.abcdefgh', AccessKeySecret: 'secret', SecurityToken: 'token' };
  return {
    body: {
      ...{ token: 'made-up', access_token: 'made-up', accessToken: 'made-up', refresh_token: 'made-up' },
      ...{ expires_in: 3600, expiry: END, expireTime: END, ExpireTime: Date.parse(END), username: 'user' },
      ...{ Credentials, TempUsername: 'user', AuthorizationToken: 'made-up' },
      authorizationData: url.host.startsWith('api.ecr-public.') ? login : [login],
    },
  };
}

/** A rule of the family whose parameters all come from annotations that it accepts, but for destinations. */
export function ruleOf(kind: string, { host, exchange = {}, good }: FamilyStage): RegistryRule {
  const bare = ruleFrom({ hosts: [host], exchange: { kind, ...exchange } });
  const wishes = Object.entries(bare.family.parameters).map(([key, { foreign = [], isRulesAlone }]) => [
    key,
    isRulesAlone ? { from: 'rule', value: good[key] } : { from: 'annotation', accept: foreign },
  ]);
  return ruleFrom({
    name: 'team',
    hosts: [host],
    exchange: { kind, ...exchange },
    ...(wishes.length > 0 && { parameters: Object.fromEntries(wishes) as unknown }),
  });
}

/** The requests that an exchange makes; how it ends does not matter. */
export async function requestsOf(planned: PlannedNeed): Promise<HttpRequest[]> {
  const { http, requests } = createRecorder(answerAll);
  const clock = createHandClock();
  const token = new SecretText('a.service.account-token');
  const times = { issuedAt: clock.now(), expiresAt: clock.now() + 3600_000 };
  const signal = new AbortController().signal;
  await createExchange({ http })({ clock, signal }, { token, ...times, planned }).catch(() => undefined);
  return requests;
}

/** The password that a family makes of a token, however long it would live. */
export async function passwordFor(kind: string, planned: PlannedNeed, token: SecretText): Promise<string> {
  const { http } = createRecorder(answerAll);
  const clock = createHandClock();
  const known: Readonly<Record<string, RegistryFamily>> = families;
  const family = known[kind];
  if (!family) throw new Error(`no family is called ${kind}`);
  let password = '';
  const exchange: RegistryFamily['exchange'] = async (call) => {
    const login = await family.exchange(call);
    password = login.password.reveal();
    return login;
  };
  const times = { issuedAt: clock.now(), expiresAt: clock.now() + 3600_000 };
  const { signal } = new AbortController();
  const ask = createExchange({ http, known: { [kind]: { ...family, exchange } } });
  await ask({ clock, signal }, { token, ...times, planned }).catch((error: unknown) => {
    if (password === '') throw error;
  });
  return password;
}

export function plannedFor(rule: RegistryRule, annotations: Record<string, string>): PlannedNeed {
  return plannedOf({ ...ACCOUNT, annotations }, rule);
}
