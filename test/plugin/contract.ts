// What the kubelet may rely on, whatever runs the plugin: the same checks for the function, the script and the executable.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { systemClock } from '../../src/clock.ts';
import { createAwsDouble, type AwsDouble } from '../fakes/ecr-double.ts';
import { createFakeIssuer, type FakeIssuer, type TokenWishes } from '../fakes/fake-issuer.ts';

export interface PluginRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export type RunPlugin = (words: readonly string[], stdin: string) => Promise<PluginRun>;

const HOST = 'registry.team.example:5000';
const ECR_HOST = '444455556666.dkr.ecr.eu-west-1.amazonaws.com';
const ROLE = 'arn:aws:iam::111122223333:role/team-a-pull';
const OTHER_ROLE = 'arn:aws:iam::111122223333:role/team-a-base';
const NO_ROLE = 'arn:aws:iam::111122223333:role/of-others';
const CLOUD = 'keyless-pull.team.example';
const ROLE_KEY = 'keyless-pull.dev/role-arn';
const SUBJECTS = ['system:serviceaccount:team-a:builder'];

const kubelet = { delivery: ['kubelet'] };

function rulesFor(aws: AwsDouble, authority: string) {
  return [
    {
      name: 'team',
      hosts: [HOST, 'registry.team.example'],
      audience: 'https://registry.team.example',
      exchange: { kind: 'pass-through' },
      ...kubelet,
    },
    {
      name: 'cloud',
      hosts: ['*.dkr.ecr.*.amazonaws.com'],
      registries: ['444455556666'],
      audience: CLOUD,
      exchange: { kind: 'ecr', endpoint: aws.url, certificateAuthorityFile: authority },
      parameters: { 'role-arn': { from: 'annotation' } },
      delivery: ['secret', 'kubelet'],
    },
    {
      name: 'by-secret',
      hosts: ['secret.team.example'],
      audience: 'https://secret.team.example',
      exchange: { kind: 'pass-through' },
      subjects: [{ namespaceSelector: { matchLabels: { tier: 'prod' } } }],
    },
    {
      name: 'of-others',
      hosts: ['others.team.example'],
      audience: 'https://others.team.example',
      exchange: { kind: 'pass-through' },
      subjects: [
        { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'team-b' } } },
        { serviceAccounts: ['deploy-*'] },
      ],
      ...kubelet,
    },
  ];
}

export function pluginContract(how: string, run: RunPlugin): void {
  describe(`the plugin, ${how}`, () => {
    let folder: string;
    let issuer: FakeIssuer;
    let aws: AwsDouble;
    let config: string;

    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'keyless-pull-plugin-'));
      issuer = await createFakeIssuer({ clock: systemClock });
      const trust = { issuer, audience: CLOUD, subjects: SUBJECTS, clock: systemClock };
      const roles = { [ROLE]: {}, [OTHER_ROLE]: {} };
      aws = await createAwsDouble({ clock: systemClock, trust, region: 'eu-west-1', roles });
      const authority = file('ca.pem', aws.certificateAuthorityPem);
      config = file(
        'config.yaml',
        stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: rulesFor(aws, authority) }),
      );
    });

    afterAll(async () => {
      await aws[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    });

    const request = (image: string, more: object = {}) => ({
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      kind: 'CredentialProviderRequest',
      image,
      ...more,
    });

    const tokenFor = async (aud: string, { claims = {} }: TokenWishes = {}) => ({
      serviceAccountToken: await issuer.token({ claims: { aud: [aud], ...claims } }),
    });

    const ask = (wish: unknown, words: readonly string[] = ['--config', config]) =>
      run(words, typeof wish === 'string' ? wish : JSON.stringify(wish));

    /** The answer, the only thing that was said. */
    async function answered(wish: unknown) {
      const { code, out, err } = await ask(wish);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out.endsWith('}\n') && out.indexOf('\n') === out.length - 1).toBe(true);
      const answer = JSON.parse(out) as {
        auth: Record<string, { username: string; password: string }>;
        cacheDuration: string;
      };
      expect(answer).toMatchObject({
        apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        kind: 'CredentialProviderResponse',
      });
      expect(Object.keys(answer).toSorted()).toEqual(
        ['apiVersion', 'auth', 'cacheDuration', 'cacheKeyType', 'kind'].toSorted(),
      );
      expect(answer.cacheDuration).toMatch(/^\d+s$/);
      return answer;
    }

    const NOTHING = { auth: {}, cacheDuration: '0s', cacheKeyType: 'Image' };

    test('answers with the token itself where that is the password, for the host, no longer than the token lives', async () => {
      const seconds = Math.floor(systemClock.now() / 1000);
      const token = await tokenFor('https://registry.team.example', { claims: { exp: seconds + 3600 } });

      const { auth, cacheDuration, ...others } = await answered(request(`${HOST}/web/app`, token));

      expect(auth).toEqual({
        [HOST]: { username: 'team-a/builder', password: token.serviceAccountToken },
      });
      expect(others).toMatchObject({ cacheKeyType: 'Registry' });
      expect(Number.parseInt(cacheDuration)).toBeGreaterThan(3100);
      expect(Number.parseInt(cacheDuration)).toBeLessThanOrEqual(3240);
    });

    test('remembers nothing of a token in its last minute', async () => {
      const seconds = Math.floor(systemClock.now() / 1000);
      const token = await tokenFor('https://registry.team.example', { claims: { exp: seconds + 50 } });

      expect(await answered(request(`${HOST}/web/app`, token))).toMatchObject({ cacheDuration: '0s' });
    });

    test('exchanges the token for the role that the account names', async () => {
      const wish = request(`${ECR_HOST}/app`, {
        ...(await tokenFor(CLOUD)),
        serviceAccountAnnotations: { [ROLE_KEY]: ROLE },
      });

      const { auth, cacheDuration, ...others } = await answered(wish);

      const login = auth[ECR_HOST];
      expect(Object.keys(auth)).toEqual([ECR_HOST]);
      expect(login?.username).toBe('AWS');
      expect(aws.ecr.passwords.get(login?.password ?? '')).toBe(ROLE);
      expect(others).toMatchObject({ cacheKeyType: 'Registry' });
      expect(Number.parseInt(cacheDuration)).toBeGreaterThan(10 * 3600);
      expect(Number.parseInt(cacheDuration)).toBeLessThanOrEqual(12 * 3600 * 0.9);
    });

    test('answers with a login for each role, the first one under the key that the kubelet tries first', async () => {
      const wish = request(`${ECR_HOST}/team/app`, {
        ...(await tokenFor(CLOUD)),
        serviceAccountAnnotations: { [ROLE_KEY]: `${ROLE}, ${OTHER_ROLE}` },
      });

      const { auth, ...others } = await answered(wish);

      const keys = Object.keys(auth).toSorted().toReversed();
      expect(keys.map((key) => aws.ecr.passwords.get(auth[key]?.password ?? ''))).toEqual([ROLE, OTHER_ROLE]);
      expect(keys.every((key) => `${ECR_HOST}/team/app`.startsWith(key))).toBe(true);
      expect(others).toMatchObject({ cacheKeyType: 'Image' });
    });

    test('answers with what it got where one of several roles is refused, and says which on stderr', async () => {
      const wish = request(`${ECR_HOST}/app`, {
        ...(await tokenFor(CLOUD)),
        serviceAccountAnnotations: { [ROLE_KEY]: `${NO_ROLE},${ROLE}` },
      });

      const { code, out, err } = await ask(wish);

      const { auth } = JSON.parse(out) as { auth: Record<string, { password: string }> };
      expect(Object.values(auth).map(({ password }) => aws.ecr.passwords.get(password))).toEqual([ROLE]);
      expect(code).toBe(0);
      expect(err).toMatch(/^keyless-pull-credential-provider: [^\n]+\(exchange-waiting\)\n$/);
    });

    test.for<[string, string, string]>([
      ['a host of no rule', 'other.example/app', 'https://registry.team.example'],
      ['another port of a rule’s host', 'registry.team.example:5001/app', 'https://registry.team.example'],
      ['an owner that is not on the list', ECR_HOST.replace('4444', '5555') + '/app', CLOUD],
      ['a rule that delivers by Secret', 'secret.team.example/app', 'https://secret.team.example'],
      ['an account that is no subject', 'others.team.example/app', 'https://others.team.example'],
      ['the audience of another rule', `${HOST}/app`, CLOUD],
      ['what is no image', 'UPPER//', 'https://registry.team.example'],
    ])('has nothing for %s, and remembers nothing', async ([, image, audience]) => {
      expect(await answered(request(image, await tokenFor(audience)))).toMatchObject(NOTHING);
    });

    test('needs no token to say that it has nothing', async () => {
      expect(await answered(request('other.example/app'))).toMatchObject(NOTHING);
    });

    test.for<[string, Record<string, unknown>]>([
      [
        'in a namespace that a subject names',
        {
          sub: 'system:serviceaccount:team-b:web',
          'kubernetes.io': { namespace: 'team-b', serviceaccount: { name: 'web', uid: 'u' } },
        },
      ],
      [
        'with a name that fits',
        {
          sub: 'system:serviceaccount:team-a:deploy-1',
          'kubernetes.io': { namespace: 'team-a', serviceaccount: { name: 'deploy-1', uid: 'u' } },
        },
      ],
    ])('has a login for an account %s', async ([, claims]) => {
      const token = await tokenFor('https://others.team.example', { claims });

      const { auth } = await answered(request('others.team.example/app', token));

      expect(auth['others.team.example']?.password).toBe(token.serviceAccountToken);
    });

    /** Nothing on stdout, one line on stderr with the code at its end, and nothing of the token in it. */
    async function refused(wish: unknown, code: number, problem: string, words?: readonly string[]) {
      const ran = await ask(wish, words);
      expect(ran).toEqual({
        code,
        out: '',
        err: expect.stringMatching(
          new RegExp(`^keyless-pull-credential-provider: [^\\n]+ \\(${problem}\\)\\n$`),
        ) as string,
      });
      const text = typeof wish === 'string' ? wish : JSON.stringify(wish);
      for (const secret of /eyJ[\w-]{8,}\.[\w-]+\.[\w-]+/.exec(text)?.[0].split('.') ?? [])
        expect(ran.err).not.toContain(secret);
      return ran.err;
    }

    test.for<[string, object]>([
      ['another version', { apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1' }],
      ['another kind', { kind: 'CredentialProviderResponse' }],
      ['no image', { image: undefined }],
      ['an empty image', { image: '' }],
      ['a field that nobody knows', { extra: true }],
      ['a token that is no text', { serviceAccountToken: 1 }],
      ['annotations that are no texts', { serviceAccountAnnotations: { a: 1 } }],
    ])('refuses a request with %s', async ([, change]) => {
      await refused({ ...request(`${HOST}/app`), ...change }, 2, 'request-malformed');
    });

    test.for([
      ['nothing', ''],
      ['no JSON', '{"apiVersion":'],
      ['a list', '[]'],
      ['two documents', '{}{}'],
    ])('refuses %s', async ([, text]) => {
      await refused(text, 2, 'request-malformed');
    });

    test('refuses a request that is larger than any can be', async () => {
      await refused(request(`${HOST}/${'a'.repeat(600 * 1024)}`), 2, 'request-malformed');
    });

    test.for<[string, Record<string, unknown>]>([
      ['expired', { exp: Math.floor(systemClock.now() / 1000) - 5 }],
      ['is for an audience of no rule', { aud: ['https://kubernetes.default.svc'] }],
      ['names two accounts', { sub: 'system:serviceaccount:team-a:other' }],
      ['is of no account', { 'kubernetes.io': undefined }],
    ])('refuses a token that %s', async ([, claims]) => {
      await refused(
        request(`${HOST}/app`, await tokenFor('https://registry.team.example', { claims })),
        1,
        'token-unusable',
      );
    });

    test('refuses a request without a token, and what is no token', async () => {
      await refused(request(`${HOST}/app`), 1, 'token-unusable');
      await refused(request(`${HOST}/app`, { serviceAccountToken: 'opaque' }), 1, 'token-unusable');
    });

    test('says which annotation an account lacks, and which it has in another form', async () => {
      const token = await tokenFor(CLOUD);

      const missing = await refused(request(`${ECR_HOST}/app`, token), 1, 'parameters-unusable');
      const malformed = await refused(
        request(`${ECR_HOST}/app`, {
          ...token,
          serviceAccountAnnotations: { [ROLE_KEY]: 'arn:aws:iam::1:user/x\u001B[2J\n' },
        }),
        1,
        'parameters-unusable',
      );

      expect(missing).toContain(`has no annotation ${ROLE_KEY}`);
      expect(malformed).toContain(`annotation ${ROLE_KEY}: role-arn looks like`);
    });

    test('refuses what the registry refuses, in its words', async () => {
      const wish = request(`${ECR_HOST}/app`, {
        ...(await tokenFor(CLOUD)),
        serviceAccountAnnotations: { [ROLE_KEY]: NO_ROLE },
      });

      await refused(wish, 1, 'exchange-waiting');
    });

    test('ends with one line when the token service is down', async () => {
      aws.mood = 'dropping';
      try {
        await refused(
          request(`${ECR_HOST}/app`, {
            ...(await tokenFor(CLOUD)),
            serviceAccountAnnotations: { [ROLE_KEY]: ROLE },
          }),
          1,
          'exchange-unreachable',
        );
      } finally {
        aws.mood = 'well';
      }
    });

    test('has the faults of its config on one line', async () => {
      const broken = file(
        'broken.yaml',
        'apiVersion: keyless-pull.dev/v1\nkind: Config\nrules: [{}]\nmore: 1\n',
      );

      const err = await refused(request('other.example/app'), 2, 'config-invalid', ['--config', broken]);

      expect(err).toContain('rules[0].name: is required');
      expect(err).toContain('more: is not a known key');
      await refused(request('other.example/app'), 2, 'file-unreadable', ['--config', join(folder, 'none')]);
    });

    test.for<readonly string[][]>([[[]], [['--config']], [['--token', 'x']], [['--config', 'a', 'b']]])(
      'refuses the words %j',
      async ([words]) => {
        await refused('', 64, 'usage', words);
      },
    );

    test('shows its one flag when it is asked', async () => {
      const { code, out, err } = await ask('', ['--help']);

      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain('--config FILE');
    });
  });
}
