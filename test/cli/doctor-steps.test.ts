// Each step of doctor by itself: what it says when all is well, what when not, and the cure.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { trustOf } from '../../src/cli/doctor/family-trust.ts';
import { nearestName } from '../../src/core/nearest-name.ts';
import { looksPrivate } from '../../src/cli/doctor/public-document.ts';
import { parseConfig } from '../../src/config.ts';
import { families } from '../../src/registry/families.ts';
import { createHttpCall } from '../../src/registry/http-call.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createFakeIssuer } from '../fakes/fake-issuer.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createQuayDouble } from '../fakes/quay-double.ts';
import { checks } from '../../src/cli/doctor/run-checks.ts';
import type { IssuedToken, DoctorCluster } from '../../src/cli/doctor/doctor-cluster.ts';
import { principalsOf } from '../../src/core/identity-parameters.ts';
import type { AccountView, NamespaceView } from '../../src/core/pod-view.ts';
import type { HttpCall } from '../../src/registry/http-call.ts';
import { type Facts, type DoctorTools, type Finding, type StepId } from '../../src/cli/doctor/step.ts';

const ISSUER = 'https://oidc.team.example/cluster-1';
const SUBJECT = 'system:serviceaccount:shop:web';

function accountOf(annotations: Record<string, string> = {}): AccountView {
  return { namespace: 'shop', name: 'web', uid: 'uid-1', annotations, pullSecrets: [], isDeleting: false };
}

function namespaceOf(
  labels: Record<string, string> = { 'keyless-pull.dev/inject': 'enabled' },
): NamespaceView {
  return { name: 'shop', labels, isTerminating: false };
}

/** A token that says the right things, but for what is wished. */
function tokenOf(audience: string, wish: Partial<IssuedToken> = {}): IssuedToken {
  return {
    token: new SecretText('marked.sa.token'),
    issuedAt: 0,
    expiresAt: 600_000,
    keyId: 'key-1',
    algorithm: 'RS256',
    claims: { iss: ISSUER, sub: SUBJECT, aud: [audience] },
    ...wish,
  };
}

/** A cluster in order, with the fence for these audiences. */
function clusterOf(wish: Partial<DoctorCluster> = {}, fence: readonly string[] = []): DoctorCluster {
  return {
    greeting: async () => 'the API server takes you for jane',
    account: async () => ({ kind: 'found', thing: accountOf() }),
    namespace: async () => ({ kind: 'found', thing: namespaceOf() }),
    discovery: async () => ({ kind: 'found', thing: { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` } }),
    fenceAudiences: async () => ({ kind: 'found', thing: fence }),
    token: async (_account, audience) => ({ kind: 'found', thing: tokenOf(audience) }),
    ...wish,
  };
}

const refused = async () => ({ kind: 'refused' }) as const;
const missing = async () => ({ kind: 'missing' }) as const;

type Page = number | Error | { readonly [key: string]: unknown } | string;

/** By address: a status, a network error, a JSON document, or a text. What is not named is 404. */
function internetOf(pages: Readonly<Record<string, Page>>): HttpCall {
  return async ({ url, headers }) => {
    if (headers['authorization'] !== undefined) throw new Error('nothing here asks for credentials');
    const page = pages[url.href] ?? 404;
    if (page instanceof Error) throw page;
    const [status, text] =
      typeof page === 'number' ? [page, '{}'] : [200, typeof page === 'string' ? page : JSON.stringify(page)];
    return { status, text, header: () => undefined };
  };
}

function networkError(code: string): Error {
  return Object.assign(new Error('a foreign text'), { code });
}

interface RuleWish {
  readonly kind: string;
  readonly host?: string;
  readonly audience?: string;
  /** Flow YAML of the rule. */
  readonly more?: string;
  readonly fences?: string;
}

const PARAMETERS: Readonly<Record<string, readonly [string, string]>> = {
  ecr: ['role-arn', 'arn:aws:iam::111122223333:role/pull'],
  google: [
    'workload-identity-provider',
    'projects/1/locations/global/workloadIdentityPools/pool/providers/provider',
  ],
  quay: ['robot', 'team+pull'],
};
const HOSTS: Readonly<Record<string, string>> = {
  ecr: '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
  google: 'europe-west1-docker.pkg.dev',
  acr: 'teamregistry.azurecr.io',
};
const ACR = {
  'client-id': '00000000-0000-4000-8000-000000000001',
  'tenant-id': '00000000-0000-4000-8000-000000000002',
};

/** What the steps up to `parameters` find of a rule of that kind, and the issuer. */
function factsOf({ kind, audience = 'keyless-pull.team.example', more = '', ...wish }: RuleWish): Facts {
  const { host = HOSTS[kind] ?? 'registry.team.example', fences = 'required' } = wish;
  const own = kind === 'acr' ? Object.entries(ACR) : PARAMETERS[kind] ? [PARAMETERS[kind]] : [];
  const parameters = own.map(([key, value]) => `${key}: { from: rule, value: "${value}" }`).join(', ');
  const text = `
apiVersion: keyless-pull.dev/v1
kind: Config
fences: ${fences}
rules:
  - name: team
    hosts: ["${host}"]
    audience: "${audience}"
    exchange: { kind: ${kind} }
    parameters: { ${parameters} }
    ${more}
`;
  const config = parseConfig(text, 'config.yaml');
  const [rule] = config.rules;
  if (!rule) throw new TypeError('the config has a rule');
  const account = accountOf();
  const { principals } = principalsOf(rule, account, host);
  const question = {
    config: 'config.yaml',
    rule: 'team',
    namespace: 'shop',
    account: 'web',
    host: undefined,
    image: undefined,
  };
  return { question, config, rule, host, account, namespace: namespaceOf(), principals, issuer: ISSUER };
}

function toolsOf(wish: Partial<DoctorTools> = {}): DoctorTools {
  return {
    cluster: clusterOf(),
    http: internetOf({}),
    clock: createHandClock(),
    signal: new AbortController().signal,
    issuerAuthority: undefined,
    registryAuthority: undefined,
    ...wish,
  };
}

async function run(step: StepId, facts: Facts, wish: Partial<DoctorTools> = {}): Promise<Finding> {
  const check = checks.find((one) => one.step === step);
  if (!check) throw new TypeError(`there is no step ${step}`);
  return await check.run(facts, toolsOf(wish));
}

const DISCOVERY = `${ISSUER}/.well-known/openid-configuration`;
const ANONYMOUS =
  'bind ClusterRole system:service-account-issuer-discovery to system:unauthenticated, or upload the keys where the provider allows it (Google, Chainguard; not AWS, Entra, Quay, JFrog)';

describe('config, rule and host', () => {
  const twoRules = `
apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - { name: team-registry, hosts: [registry.team.example], audience: a, exchange: { kind: pass-through } }
  - name: ecr
    hosts: ["*.dkr.ecr.*.amazonaws.com"]
    registries: ["111122223333"]
    audience: b
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation } }
`;
  const config = parseConfig(twoRules, 'config.yaml');
  const asked = (name: string, host?: string): Facts => {
    const rule = config.rules.find((one) => one.name === name);
    const question = { ...factsOf({ kind: 'pass-through' }).question, rule: name, host };
    return { question, config, ...(rule && { rule }) };
  };

  test('a config is read, or everything that is wrong with it is said', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-doctor-'));
    const ask = (text: string) => {
      const path = join(folder, 'config.yaml');
      writeFileSync(path, text);
      return run('config', { question: { ...asked('ecr').question, config: path } });
    };

    expect(await ask(twoRules)).toEqual({
      outcome: 'ok',
      found: `${folder}/config.yaml is a config with 2 rules`,
    });
    const { outcome, found, cure } = await ask(
      twoRules.replace('audience: a', 'audience: ""').replace('ecr }', 'ghcr }'),
    );
    rmSync(folder, { recursive: true });
    const gone = await run('config', { question: { ...asked('ecr').question, config: `${folder}/no` } });

    expect({ outcome, cure }).toEqual({
      outcome: 'failed',
      cure: 'correct the config; `keyless-pull check-config` lists one fault per line',
    });
    expect(found).toMatch(/has 2 faults \(config-invalid\); .*:5: rules\[0\]\.audience.*; .*ghcr\.io takes/);
    expect(gone).toMatchObject({
      outcome: 'failed',
      found: `cannot read ${folder}/no: there is no such file (file-unreadable)`,
    });
  });

  test('a rule that is not there is answered with the nearest name, or with all of them', async () => {
    expect(await run('rule', asked('ecr'))).toEqual({ outcome: 'ok', found: 'ecr, exchange ecr' });
    expect(await run('rule', asked('team-regstry'))).toEqual({
      outcome: 'failed',
      found: 'the config has no rule "team-regstry"',
      cure: 'did you mean --rule team-registry?',
    });
    expect(await run('rule', asked('quay'))).toMatchObject({
      cure: 'pass --rule with one of team-registry, ecr',
    });
  });

  test('nearness is few changes for the length of the name', () => {
    expect(nearestName('ecr-publc', ['ecr', 'ecr-public'])).toBe('ecr-public');
    expect(nearestName('erc', ['ecr'])).toBeUndefined();
    expect(nearestName('', [])).toBeUndefined();
  });

  test.each<[string, string | undefined, object]>([
    [
      'team-registry',
      undefined,
      { outcome: 'ok', found: 'registry.team.example is served by rule team-registry' },
    ],
    [
      'ecr',
      '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
      { outcome: 'ok', found: '111122223333.dkr.ecr.eu-west-1.amazonaws.com is served by rule ecr' },
    ],
    [
      'ecr',
      '999988887777.dkr.ecr.eu-west-1.amazonaws.com',
      {
        outcome: 'failed',
        found:
          '999988887777.dkr.ecr.eu-west-1.amazonaws.com belongs to 999988887777, which is not among the registries of rule ecr: 111122223333',
        cure: 'add "999988887777" to registries of rule ecr, if it is yours',
      },
    ],
    [
      'ecr',
      '111122223333.dkr.ecr.moon-1.amazonaws.com',
      {
        outcome: 'failed',
        found: '111122223333.dkr.ecr.moon-1.amazonaws.com is no host of ecr',
        cure: 'check the spelling of --host',
      },
    ],
    [
      'ecr',
      'registry.team.example',
      {
        outcome: 'failed',
        found: 'rule ecr serves *.dkr.ecr.*.amazonaws.com, and not registry.team.example',
        cure: 'rule team-registry serves it: pass --rule team-registry',
      },
    ],
    ['ecr', 'nobody.example', { outcome: 'failed', cure: 'add nobody.example to hosts of a rule' }],
  ])('rule %s and host %s', async (rule, host, wanted) => {
    expect(await run('host', asked(rule, host))).toMatchObject(wanted);
  });

  test('a rule of many hosts wants to be told which', async () => {
    await expect(run('host', asked('ecr'))).rejects.toMatchObject({
      code: 'usage',
      message: 'pass --host or --image: rule ecr serves *.dkr.ecr.*.amazonaws.com',
    });
  });
});

describe('account, namespace, subject and parameters', () => {
  const facts = () => factsOf({ kind: 'pass-through' });

  test('an account that is not there, going, or not to be read', async () => {
    const deleting = async () => ({ kind: 'found', thing: { ...accountOf(), isDeleting: true } }) as const;
    const ask = (account: ReturnType<typeof clusterOf>['account']) =>
      run('account', facts(), { cluster: clusterOf({ account }) });

    expect(await run('account', facts())).toEqual({ outcome: 'ok', found: 'ServiceAccount shop/web exists' });
    expect(await ask(missing)).toEqual({
      outcome: 'failed',
      found: 'there is no ServiceAccount shop/web',
      cure: 'correct --account, or create it: kubectl create serviceaccount web -n shop',
    });
    expect(await ask(deleting)).toMatchObject({
      outcome: 'failed',
      found: 'ServiceAccount shop/web is being deleted',
    });
    expect(await ask(refused)).toEqual({
      outcome: 'failed',
      found: 'you may not read ServiceAccount shop/web',
      cure: 'ask for the rights of the ClusterRole view in shop, or pass --offline --account-file FILE',
    });
  });

  const optIn = 'kubectl label namespace shop keyless-pull.dev/inject=enabled --overwrite';
  test.each<[string, Parameters<typeof namespaceOf>[0], object]>([
    ['enabled', undefined, { outcome: 'ok', found: 'namespace shop has opted in' }],
    [
      'draining',
      { 'keyless-pull.dev/inject': 'draining' },
      {
        outcome: 'warning',
        found: 'namespace shop is draining: new pods are given no credentials',
        cure: optIn,
      },
    ],
    [
      'absent',
      {},
      {
        outcome: 'failed',
        found: 'namespace shop has not opted in: its pods are given no credentials',
        cure: optIn,
      },
    ],
    ['misspelt', { 'keyless-pull.dev/inject': 'yes' }, { outcome: 'failed', cure: optIn }],
  ])('the opt-in label is %s', async (_name, labels, wanted) => {
    const namespace = async () => ({ kind: 'found', thing: namespaceOf(labels) }) as const;

    expect(await run('namespace', facts(), { cluster: clusterOf({ namespace }) })).toMatchObject(wanted);
  });

  test("a namespace that is Kubernetes' own, going, not there, or not to be read", async () => {
    const ask = (namespace: ReturnType<typeof clusterOf>['namespace']) =>
      run('namespace', facts(), { cluster: clusterOf({ namespace }) });
    const going = async () => ({ kind: 'found', thing: { ...namespaceOf(), isTerminating: true } }) as const;
    const own = { ...facts(), question: { ...facts().question, namespace: 'kube-system' } };

    expect(await run('namespace', own)).toMatchObject({
      outcome: 'failed',
      found: "namespace kube-system is Kubernetes' own and never touched",
    });
    expect(await ask(going)).toMatchObject({ outcome: 'failed', found: 'namespace shop is being deleted' });
    expect(await ask(missing)).toMatchObject({ outcome: 'failed', found: 'there is no namespace shop' });
    expect(await ask(refused)).toEqual({ outcome: 'skipped', found: 'you may not read namespace shop' });
  });

  test('a rule that is meant for others, or loses its host to a more exact one', async () => {
    const tiered = factsOf({
      kind: 'pass-through',
      more: 'subjects: [{ namespaceSelector: { matchLabels: { tier: prod } } }]',
    });
    const { namespace: _namespace, ...unlabelled } = tiered;
    const ours = facts();
    const [rule] = ours.config?.rules ?? [];
    const other = rule && { ...rule, name: 'other' };

    expect(await run('subject', ours)).toEqual({ outcome: 'ok', found: 'rule team is meant for shop/web' });
    expect(await run('subject', tiered)).toEqual({
      outcome: 'failed',
      found: 'rule team is not meant for shop/web',
      cure: 'add the account, or the labels of its namespace, to subjects of rule team',
    });
    expect(await run('subject', unlabelled)).toEqual({
      outcome: 'skipped',
      found: 'the labels of namespace shop are not known',
    });
    if (ours.config && other && rule) ours.config = { ...ours.config, rules: [other, rule] };
    expect(await run('subject', ours)).toEqual({
      outcome: 'failed',
      found:
        'pods of shop/web are given rule other for registry.team.example: its host is the more exact one',
      cure: 'pass --rule other, or change the hosts or subjects of one of the two',
    });
  });

  test('parameters that are whole, absent or malformed', async () => {
    const annotated = (annotations: Record<string, string>) => {
      const found = factsOf({ kind: 'ecr' });
      if (!found.rule) throw new TypeError('there is a rule');
      found.rule = { ...found.rule, parameters: { 'role-arn': { from: 'annotation' } } };
      found.account = accountOf(annotations);
      return run('parameters', found);
    };

    expect(await run('parameters', facts())).toEqual({
      outcome: 'ok',
      found: 'pass-through needs no parameters',
    });
    expect(await annotated({ 'keyless-pull.dev/role-arn': 'arn:aws:iam::111122223333:role/pull' })).toEqual({
      outcome: 'ok',
      found: 'arn:aws:iam::111122223333:role/pull',
    });
    expect(await annotated({})).toEqual({
      outcome: 'failed',
      found: 'ServiceAccount web has no annotation keyless-pull.dev/role-arn, which rule team needs',
      cure: "kubectl annotate serviceaccount web -n shop keyless-pull.dev/role-arn='arn:aws:iam::111122223333:role/NAME'",
    });
    expect(await annotated({ 'keyless-pull.dev/role-arn': 'pull' })).toEqual({
      outcome: 'failed',
      found: expect.stringMatching(/^annotation keyless-pull\.dev\/role-arn: .*role\/NAME$/),
      cure: 'correct the annotation of the account, or the rule',
    });
  });
});

describe('the issuer', () => {
  const shown = async (thing: unknown) => ({ kind: 'found', thing }) as const;
  const ask = (discovery: ReturnType<typeof clusterOf>['discovery'], token = refused as never) =>
    run('issuer', factsOf({ kind: 'ecr' }), { cluster: clusterOf({ discovery, token }) });

  test("comes from the API server's document, or from a token where that may not be read", async () => {
    const token = async () => ({ kind: 'found', thing: tokenOf('a') }) as const;

    expect(await ask(() => shown({ issuer: ISSUER }))).toEqual({ outcome: 'ok', found: ISSUER });
    expect(await ask(refused, token as never)).toEqual({ outcome: 'ok', found: ISSUER });
    expect(await ask(refused)).toEqual({
      outcome: 'failed',
      found: 'you may not read the discovery document of the API server',
      cure: 'bind the ClusterRole system:service-account-issuer-discovery to yourself',
    });
  });

  test('must be an https URL', async () => {
    expect(await ask(missing)).toEqual({
      outcome: 'failed',
      found: 'the API server serves no discovery document: its issuer is no https URL',
      cure: 'start it with --service-account-issuer=https://…; the issuer of before may stay as a second one',
    });
    expect(await ask(() => shown({ issuer: 'kubernetes/serviceaccount' }))).toMatchObject({
      outcome: 'failed',
      found: 'the issuer "kubernetes/serviceaccount" is no https URL: nobody can fetch its keys',
    });
  });

  test.each([
    ['kubernetes.default.svc', true],
    ['kubernetes.default.svc.cluster.local', true],
    ['10.0.0.1:6443', true],
    ['[fd00::1]', true],
    ['localhost:6443', true],
    ['master', true],
    ['api.corp.internal', true],
    ['oidc.eks.eu-west-1.amazonaws.com', false],
    ['local.team.example:8443', false],
  ])('%s looks private: %s', (host, isPrivate) => {
    expect(looksPrivate(host)).toBe(isPrivate);
  });

  const SVC = 'https://kubernetes.default.svc';
  test.each<[RuleWish, object]>([
    [
      { kind: 'ecr' },
      {
        outcome: 'failed',
        found:
          'kubernetes.default.svc looks private, and AWS fetches the keys over the internet, with no other way in',
        cure: expect.stringMatching(
          /^start the API server with --service-account-issuer=https:\/\/… of a public name/,
        ),
      },
    ],
    [{ kind: 'acr' }, { outcome: 'failed', found: expect.stringContaining('and Entra fetches') }],
    [
      { kind: 'quay', host: 'quay.io' },
      { outcome: 'failed', found: expect.stringContaining('and Quay fetches') },
    ],
    [
      { kind: 'google' },
      {
        outcome: 'warning',
        found: 'kubernetes.default.svc looks private: Google cannot fetch the keys',
        cure: 'upload the keys to Google: kubectl get --raw /openid/v1/jwks > keys.json',
      },
    ],
    [
      { kind: 'quay', host: 'quay.team.example' },
      { outcome: 'ok', found: 'kubernetes.default.svc looks private: enough if Quay reaches it' },
    ],
    [
      { kind: 'pass-through' },
      { outcome: 'ok', found: 'kubernetes.default.svc looks private: enough if the token server reaches it' },
    ],
  ])('that looks private, with %j', async (wish, wanted) => {
    const found = await run('issuer-address', { ...factsOf(wish), issuer: SVC });

    expect(found).toMatchObject(wanted);
    expect(await run('issuer-address', factsOf(wish))).toEqual({
      outcome: 'ok',
      found: 'oidc.team.example looks public',
    });
  });

  test('every family has a line in the table', () => {
    for (const kind of Object.keys(families)) expect(trustOf(kind, 'a.example').who).not.toBe('the registry');
  });

  const reach = async (kind: string, page: Page, issuer = ISSUER) => {
    const facts = { ...factsOf({ kind }), issuer };
    const finding = await run('issuer-reachable', facts, { http: internetOf({ [DISCOVERY]: page }) });
    return { ...finding, isPublic: facts.isIssuerPublic };
  };

  test('answers without credentials at its own address, also with a slash at its end', async () => {
    for (const issuer of [ISSUER, `${ISSUER}/`]) {
      expect(await reach('ecr', { issuer }, issuer)).toEqual({
        outcome: 'ok',
        found: 'oidc.team.example answers without credentials',
        isPublic: true,
      });
    }
  });

  test.each<[string, Page, string]>([
    [
      'refuses with 401',
      401,
      'oidc.team.example answers 401 to anybody without credentials: AWS cannot fetch the keys',
    ],
    [
      'refuses with 403',
      403,
      'oidc.team.example answers 403 to anybody without credentials: AWS cannot fetch the keys',
    ],
    ['redirects', 302, 'oidc.team.example answers 302, wanted is 200: AWS cannot fetch the keys'],
    [
      'sends a page',
      '<html>',
      'oidc.team.example answers with something that is no JSON: AWS cannot fetch the keys',
    ],
    [
      'is not there',
      networkError('ENOTFOUND'),
      'oidc.team.example cannot be reached from here (ENOTFOUND): AWS cannot fetch the keys',
    ],
    [
      'says nothing',
      Object.assign(new Error('x'), { name: 'TimeoutError' }),
      'oidc.team.example gives no answer in 10 s: AWS cannot fetch the keys',
    ],
    [
      'has a certificate of its own',
      networkError('SELF_SIGNED_CERT_IN_CHAIN'),
      'oidc.team.example has a certificate that is not accepted here (SELF_SIGNED_CERT_IN_CHAIN; --issuer-ca names its authority): AWS cannot fetch the keys',
    ],
  ])('that %s is fatal to clouds that fetch', async (_name, page, found) => {
    expect(await reach('ecr', page)).toMatchObject({ outcome: 'failed', found, isPublic: false });
  });

  test('that refuses everybody has a cure by who needs it', async () => {
    expect(await reach('ecr', 403)).toMatchObject({ outcome: 'failed', cure: ANONYMOUS });
    expect(await reach('google', 403)).toMatchObject({
      outcome: 'warning',
      cure: `${ANONYMOUS}; or upload the keys to Google: kubectl get --raw /openid/v1/jwks > keys.json`,
    });
    expect(await reach('pass-through', 403)).toMatchObject({
      outcome: 'warning',
      cure: `${ANONYMOUS}; or see to it that the token server reads the keys in another way (issuers of a token server take a bearerFile)`,
    });
  });

  const document = (discovery: unknown, kind = 'ecr') =>
    run('issuer-document', { ...factsOf({ kind }), discovery });

  test('has a document that names it byte for byte', async () => {
    const keys = `${ISSUER}/keys`;

    expect(await document({ issuer: ISSUER, jwks_uri: keys })).toEqual({
      outcome: 'ok',
      found: `issuer equal byte for byte, keys at ${keys}`,
    });
    expect(await document({ issuer: `${ISSUER}/`, jwks_uri: keys })).toEqual({
      outcome: 'failed',
      found: `the document at the issuer's address names "${ISSUER}/", and tokens "${ISSUER}": they differ by a slash at the end, and clouds compare byte for byte`,
      cure: 'write the same --service-account-issuer everywhere, byte for byte: API server, discovery document, and the trust at the registry',
    });
    expect(await document({ issuer: 'https://other.example', jwks_uri: keys })).toMatchObject({
      outcome: 'failed',
      found: `the document at the issuer's address names "https://other.example", and tokens "${ISSUER}"`,
    });
    expect(await document(undefined)).toMatchObject({ outcome: 'skipped' });
  });

  test('has keys at an https address that others can reach', async () => {
    expect(await document({ issuer: ISSUER, jwks_uri: 'http://oidc.team.example/keys' })).toEqual({
      outcome: 'failed',
      found: 'jwks_uri of the document is no https URL',
      cure: 'set --service-account-jwks-uri=https://…',
    });
    expect(await document({ issuer: ISSUER, jwks_uri: `${ISSUER}/\u001B[31mkeys` })).toMatchObject({
      outcome: 'failed',
    });
    expect(await document({ issuer: ISSUER, jwks_uri: 'https://10.0.0.1:6443/openid/v1/jwks' })).toEqual({
      outcome: 'failed',
      found: 'jwks_uri leads to 10.0.0.1:6443, which looks private: AWS cannot fetch the keys',
      cure: `set --service-account-jwks-uri=${ISSUER}/openid/v1/jwks`,
    });
  });

  const keys = (page: Page, isIssuerPublic = true, keyId = 'key-1') =>
    run(
      'issuer-keys',
      {
        ...factsOf({ kind: 'ecr' }),
        isIssuerPublic,
        keysUrl: `${ISSUER}/keys`,
        token: tokenOf('a', { keyId }),
      },
      { http: internetOf({ [`${ISSUER}/keys`]: page }) },
    );

  test('publishes the key that signs tokens now', async () => {
    const published = { keys: [{ kid: 'key-0' }, { kid: 'key-1' }] };

    expect(await keys(published)).toEqual({
      outcome: 'ok',
      found: 'key-1, which signs tokens now, is among 2',
    });
    expect(await keys(published, true, 'key-2')).toEqual({
      outcome: 'failed',
      found: `key-2, which signs tokens now, is not among the 2 keys at ${ISSUER}/keys`,
      cure: 'publish the keys of every API server: after a rotation copy them again to where jwks_uri leads, and upload them anew where they were uploaded',
    });
    expect(await keys({ keys: 'none' })).toMatchObject({
      outcome: 'failed',
      found: expect.stringContaining('the 0 keys'),
    });
    expect(await keys(403)).toMatchObject({
      outcome: 'failed',
      found: 'oidc.team.example refuses the keys with 403: AWS cannot fetch the keys',
      cure: ANONYMOUS,
    });
    expect(await keys(404)).toMatchObject({ outcome: 'failed', cure: 'serve the keys where jwks_uri says' });
    expect(await keys(published, false)).toMatchObject({ outcome: 'skipped' });
  });
});

describe('audience, fence and token', () => {
  const audience = (name: string, kind = 'ecr') => run('audience', factsOf({ kind, audience: name }));

  test('an audience is its own, or it is said why it should be', async () => {
    expect(await audience('keyless-pull.team.example')).toEqual({
      outcome: 'ok',
      found: 'keyless-pull.team.example is for this registry alone',
    });
    expect(await audience('sts.amazonaws.com')).toEqual({
      outcome: 'warning',
      found:
        "sts.amazonaws.com is also the audience of the tokens that EKS puts into pods for AWS: whoever reads one there can pull as the account, and a pull token opens the account's other roles",
      cure: "name one of your own, such as keyless-pull.team.example, in the rule, in the fence, as client id of the IAM OIDC provider, and in the role's trust policy",
    });
    expect(await audience('api://AzureADTokenExchange', 'acr')).toMatchObject({
      outcome: 'warning',
      cure: 'name one of your own, such as keyless-pull.team.example, in the rule, in the fence, and as the audience of the federated credential',
    });
  });

  test.each([ISSUER, 'https://kubernetes.default.svc'])("%s is the API server's own", async (name) => {
    expect(await audience(name)).toEqual({
      outcome: 'failed',
      found: `${name} is the API server's own: the registry could use the token against the cluster`,
      cure: 'name one of your own, such as keyless-pull.team.example, in the rule, in the fence, and where the registry checks it',
    });
  });

  const UNLISTED = {
    outcome: 'failed',
    found: 'the fence does not let the worker ask for tokens for keyless-pull.team.example',
    cure: 'add "keyless-pull.team.example" to the variable audiences of the ValidatingAdmissionPolicy keyless-pull-worker-token-requests',
  };

  test('the fence lists the audience, does not, is not there, or may not be read', async () => {
    const ask = (cluster: ReturnType<typeof clusterOf>, fences = 'required') =>
      run('fence', factsOf({ kind: 'ecr', fences }), { cluster });
    const gone = "the fence on the worker's tokens, keyless-pull-worker-token-requests, is not there";

    expect(await ask(clusterOf({}, ['keyless-pull.team.example']))).toEqual({
      outcome: 'ok',
      found: 'the fence lets the worker ask for keyless-pull.team.example',
    });
    expect(await ask(clusterOf({}, ['other']))).toEqual(UNLISTED);
    const cure = 'kubectl apply -k webhook-config';
    expect(await ask(clusterOf({ fenceAudiences: missing }))).toEqual({
      outcome: 'failed',
      found: gone,
      cure,
    });
    expect(await ask(clusterOf({ fenceAudiences: missing }), 'optional')).toEqual({
      outcome: 'warning',
      found: gone,
      cure,
    });
    expect(await ask(clusterOf({ fenceAudiences: refused }))).toMatchObject({ outcome: 'skipped' });
  });

  test('a token is issued, once for all steps that read it', async () => {
    let count = 0;
    const token = async () => {
      count++;
      return { kind: 'found', thing: tokenOf('keyless-pull.team.example') } as const;
    };
    const facts = factsOf({ kind: 'ecr' });
    const cluster = clusterOf({ token, discovery: refused });

    await run('issuer', facts, { cluster });

    expect(await run('token', facts, { cluster })).toEqual({
      outcome: 'ok',
      found: 'the API server issues a token of shop/web for keyless-pull.team.example',
    });
    expect(count).toBe(1);
  });

  test.each<[string, Awaited<ReturnType<ReturnType<typeof clusterOf>['token']>>, object]>([
    [
      'a right is missing',
      { kind: 'refused' },
      {
        outcome: 'failed',
        found: 'you may not ask for tokens of ServiceAccount shop/web',
        cure: 'kubectl create role ask-for-tokens -n shop --verb=create --resource=serviceaccounts/token --resource-name=web, and bind it to yourself',
      },
    ],
    ['our fence does not list the audience', { kind: 'refused', policy: 'p', demand: 'audience' }, UNLISTED],
    [
      'our fence wants a Secret',
      { kind: 'refused', policy: 'p', demand: 'binding' },
      { outcome: 'skipped', found: expect.stringContaining('run doctor as yourself') },
    ],
    [
      "somebody's policy says no",
      { kind: 'refused', policy: 'no-tokens' },
      {
        outcome: 'failed',
        found: 'the policy no-tokens refuses tokens of shop/web',
        cure: 'read kubectl describe validatingadmissionpolicy no-tokens',
      },
    ],
    [
      'the account is gone',
      { kind: 'missing' },
      { outcome: 'failed', found: 'ServiceAccount shop/web is gone', cure: 'create it anew' },
    ],
  ])('no token: %s', async (_name, reply, wanted) => {
    const token = async () => reply;

    expect(await run('token', factsOf({ kind: 'ecr' }), { cluster: clusterOf({ token }) })).toEqual(wanted);
  });

  test('claims are shown, and compared with what the registry will expect', async () => {
    const ask = (claims: Record<string, unknown>) => {
      const good = tokenOf('keyless-pull.team.example');
      const token = { ...good, claims: { ...good.claims, ...claims } };
      return run('claims', { ...factsOf({ kind: 'ecr' }), token });
    };

    expect(await ask({})).toEqual({
      outcome: 'ok',
      found: `iss ${ISSUER}, sub ${SUBJECT}, aud keyless-pull.team.example`,
    });
    expect(await ask({ iss: `${ISSUER}/` })).toMatchObject({
      outcome: 'failed',
      found: `iss is "${ISSUER}/", and not ${ISSUER}`,
    });
    expect(await ask({ aud: ['keyless-pull.team.example', 'b'], sub: 'x' })).toEqual({
      outcome: 'failed',
      found: `sub is "x", and not ${SUBJECT}; aud is ["keyless-pull.team.example","b"], and not keyless-pull.team.example`,
      cure: 'name what the token says in the trust at the registry, byte for byte, or correct --service-account-issuer',
    });
  });
});

describe('limits of the other side', () => {
  const limits = (kind: string, algorithm = 'RS256', claims: Record<string, unknown> = {}) => {
    const good = tokenOf('keyless-pull.team.example', { algorithm });
    return run('registry-limits', {
      ...factsOf({ kind }),
      token: { ...good, claims: { ...good.claims, ...claims } },
    });
  };

  test('AWS: what the trust policy and CloudTrail will have', async () => {
    expect(await limits('ecr')).toEqual({
      outcome: 'ok',
      found: `the role's trust policy must have oidc.team.example/cluster-1:sub = ${SUBJECT} and oidc.team.example/cluster-1:aud = keyless-pull.team.example; CloudTrail will show the session shop.web`,
    });
  });

  test('Entra: twenty federated credentials, and 600 characters each', async () => {
    const { outcome, found } = await limits('acr');

    expect(outcome).toBe('ok');
    expect(found).toContain('an Entra identity holds 20 federated credentials at most');
    expect(await limits('acr', 'RS256', { iss: `https://${'a'.repeat(600)}` })).toEqual({
      outcome: 'failed',
      found: 'the issuer has 608 characters, and a federated credential takes 600',
      cure: 'use shorter names',
    });
  });

  test('Google: 127 bytes of subject', async () => {
    expect(await limits('google', 'RS256', { sub: 'a'.repeat(127) })).toEqual({
      outcome: 'ok',
      found: 'the subject has 127 of the 127 bytes that google.subject holds',
    });
    expect(await limits('google', 'RS256', { sub: 'a'.repeat(128) })).toEqual({
      outcome: 'failed',
      found: 'the subject has 128 bytes, and google.subject holds 127',
      cure: 'map another claim: google.subject=assertion["kubernetes.io"].serviceaccount.uid, or use shorter names',
    });
  });

  test('Quay: RSA alone, and no look at the audience', async () => {
    expect(await limits('quay', 'RS384')).toEqual({
      outcome: 'warning',
      found:
        'a Quay older than the middle of 2026 does not check the audience: any token of this account that another registry was handed opens it too',
      cure: 'use this account for Quay alone',
    });
    expect(await limits('quay', 'ES256')).toEqual({
      outcome: 'failed',
      found: 'the cluster signs with ES256, and Quay takes RS256 and RS384 alone',
      cure: 'sign with an RSA key: --service-account-signing-key-file of the API server',
    });
  });

  test('others have none', async () => {
    expect(await limits('pass-through')).toEqual({
      outcome: 'ok',
      found: 'nothing but iss, sub and aud counts for pass-through',
    });
  });
});

describe('the exchange', () => {
  async function openQuay(subjects: string[]) {
    const clock = createHandClock();
    const issuer = await createFakeIssuer({ clock, algorithm: 'RS256' });
    const robot = 'team+pull';
    const quay = await createQuayDouble({ clock, trust: { issuer, subjects, clock }, robot });
    const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-doctor-'));
    const certificateAuthorityFile = join(folder, 'ca.pem');
    writeFileSync(certificateAuthorityFile, quay.certificateAuthorityPem);
    const facts = factsOf({ kind: 'quay', host: quay.host });
    if (!facts.rule) throw new TypeError('there is a rule');
    facts.rule = { ...facts.rule, exchange: { kind: 'quay', certificateAuthorityFile } };
    const token = await issuer.token({ claims: { sub: SUBJECT } });
    facts.token = tokenOf('a', {
      token: new SecretText(token),
      issuedAt: clock.now(),
      expiresAt: clock.now() + 600_000,
    });
    return {
      facts,
      clock,
      quay,
      certificateAuthorityFile,
      run: () => run('exchange', facts, { clock, http: createHttpCall() }),
      async [Symbol.asyncDispose]() {
        rmSync(folder, { recursive: true });
        await quay[Symbol.asyncDispose]();
        await issuer[Symbol.asyncDispose]();
      },
    };
  }

  test('is made, and told without its password', async () => {
    await using world = await openQuay([SUBJECT]);

    const finding = await world.run();

    expect(finding).toEqual({
      outcome: 'ok',
      found: 'team+pull: user team+pull, good for 60 min, until 2026-11-21T13:00:00.000Z',
    });
    expect(world.facts.credentials).toHaveLength(1);
  });

  test("that fails is told with the problem's sentence and code", async () => {
    await using world = await openQuay(['system:serviceaccount:shop:other']);

    const { outcome, found, cure } = await world.run();

    expect({ outcome, cure }).toEqual({
      outcome: 'failed',
      cure: 'compare what the registry trusts with the step claims, byte for byte',
    });
    expect(found).toMatch(
      /^team\+pull: 127\.0\.0\.1:\d+ refuses this account \(400\): robot team\+pull must have .* \(exchange-refused\)$/,
    );
  });

  test.each([
    ['throttling', 'exchange-throttled', 'wait, and ask again'],
    ['html', 'exchange-malformed', 'compare what the registry trusts with the step claims, byte for byte'],
  ] as const)('at a service that is %s', async (mood, code, cure) => {
    await using world = await openQuay([SUBJECT]);
    world.quay.mood = mood;
    world.quay.retryAfter = '60';

    const finding = await world.run();

    expect(finding).toMatchObject({ outcome: 'failed', cure });
    expect(finding.found).toContain(`(${code})`);
  });

  test('is made for each principal, and the one that fails is named', async () => {
    await using world = await openQuay([SUBJECT]);
    const [first] = world.facts.principals ?? [];
    const second = first && { ...first, name: 'team+other', parameters: { robot: 'team+other' } };
    if (first && second) world.facts.principals = [first, second];

    const finding = await world.run();

    expect(finding.outcome).toBe('failed');
    expect(finding.found).toMatch(/^team\+other: .*robot team\+other must have/);
    expect(world.facts.credentials).toBeUndefined();
  });

  test('whose authority the rule does not name', async () => {
    await using world = await openQuay([SUBJECT]);
    const { rule } = world.facts;
    if (rule) world.facts.rule = { ...rule, exchange: { kind: 'quay' } };

    let isOver = false;
    const asked = world.run().finally(() => (isOver = true));
    while (!isOver) await world.clock.advance(2_000);

    expect(await asked).toMatchObject({
      outcome: 'failed',
      cure: 'name its authority in certificateAuthorityFile of the rule',
    });
  });

  test('whose authority file is not there', async () => {
    await using world = await openQuay([SUBJECT]);
    rmSync(world.certificateAuthorityFile);

    expect(await world.run()).toMatchObject({
      outcome: 'failed',
      found: expect.stringContaining('there is no such file (file-unreadable)'),
      cure: 'correct certificateAuthorityFile of the rule',
    });
  });
});
