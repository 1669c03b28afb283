// A registry more is one file and one line in a table: two invented ones go the whole way, from the text of a config to
// the credential, through code that has never heard of them.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as yaml from 'yaml';
import { parseConfig } from '../../src/config.ts';
import { planPulls } from '../../src/core/pull-plan.ts';
import { viewAccount, viewPod } from '../../src/core/pod-view.ts';
import { createExchange } from '../../src/registry/exchange.ts';
import { families } from '../../src/registry/families.ts';
import { SecretText } from '../../src/secret-text.ts';
import { podManifest } from '../fakes/builders.ts';
import { createStrictServer, type Answer, type Received } from '../fakes/strict-server.ts';
import { judgeToken, TokenRefused } from '../fakes/token-judge.ts';
import { drawer, shelf } from './invented-registry.ts';
import { ACCOUNT, expectNothingShown, openWorld, problemOf } from './set-up.ts';

const known = { ...families, shelf, drawer };
const AUDIENCE = 'https://shelf.example';
const PASSWORD = 'kZq3TtQxM1sW8vYb2cNfP0hLd9eRgU7a';

/** Both registries at one server, each as strict as its protocol. */
async function openRegistries() {
  const world = await openWorld({ audience: AUDIENCE });
  const refuse = (status: number, name: string): Answer => ({ status, body: { problem: { name } } });

  async function answer({ method, path, headers, body }: Received): Promise<Answer> {
    const isDrawer = method === 'GET' && path === '/open' && body === '';
    if (!isDrawer && !(method === 'POST' && path === '/v1/shelves/team/readers')) return { status: 404 };
    const [, basic = ''] = /^Basic (\S+)$/.exec(headers.authorization ?? '') ?? [];
    const { reader, proof } = isDrawer ? {} : JSON.parse(body);
    const [user, token] = Buffer.from(basic, 'base64').toString().split(':');
    if (isDrawer ? user !== 'token' : proof.kind !== 'jwt') return refuse(400, 'unclear');
    if (!isDrawer && reader !== 'alice-1') return refuse(404, 'no-such-reader');
    try {
      await judgeToken(isDrawer ? (token ?? '') : proof.token, world.trust);
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      return refuse(403, error.fault === 'subject' ? 'not-known-yet' : 'too-old');
    }
    const until = new Date(world.clock.now() + 900_000).toISOString();
    return { status: 201, body: { key: PASSWORD, seconds: 1200, until, more: 'than was asked' } };
  }

  const server = await world.use(createStrictServer({ clock: world.clock, answer }));
  const file = world.file('ca.pem', server.certificateAuthorityPem);
  const rules = [
    {
      name: 'shelves',
      hosts: ['*.shelf.example'],
      registries: ['team'],
      audience: AUDIENCE,
      exchange: { kind: 'shelf', endpoint: server.url, certificateAuthorityFile: file },
      parameters: { reader: { from: 'annotation', accept: ['shelf.example/reader'] } },
    },
    {
      name: 'drawers',
      hosts: [server.host],
      audience: `https://${server.host}`,
      exchange: { kind: 'drawer', certificateAuthorityFile: file },
    },
  ];

  /** What the rule at `image` ends with, by the text of a config. */
  async function pull(image: string, annotations = {}, claims: Record<string, unknown> = {}) {
    const text = yaml.stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules });
    const config = parseConfig(text, 'config.yaml', known);
    const metadata = { ...ACCOUNT, annotations };
    const plan = planPulls(
      viewPod(podManifest(ACCOUNT.namespace, 'pod', { images: [image], serviceAccount: ACCOUNT.name })),
      viewAccount({ metadata }),
      {},
      { rules: config.rules, needsPerPod: 8 },
    );
    const [planned] = plan.needs;
    if (!planned) throw new TypeError(plan.leftOut.map(({ message }) => message).join('; '));
    const token = await world.issuer.token({ claims });
    world.secrets.push(token);
    const issuedAt = world.clock.now();
    return await createExchange({ http: world.http, known })(
      { clock: world.clock, signal: new AbortController().signal },
      { token: new SecretText(token), issuedAt, expiresAt: issuedAt + 600_000, planned },
    );
  }
  return { world, server, rules, pull, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('a registry that nobody has heard of', () => {
  test.for(['keyless-pull.dev/reader', 'shelves.keyless-pull.dev/reader', 'shelf.example/reader'])(
    'takes its parameter from the annotation %s, and the token in one call',
    async (annotation) => {
      await using stack = await openRegistries();

      const credential = await stack.pull('team.shelf.example/app:1', { [annotation]: 'alice-1' });

      expect(credential).toMatchObject({ hosts: ['team.shelf.example'], username: 'alice-1' });
      expect(credential.password.reveal()).toBe(PASSWORD);
      expect(credential.expiresAt).toBe(stack.world.clock.now() + 900_000);
      expect(stack.server.requests).toHaveLength(1);
    },
  );

  test('takes the token as a Basic password', async () => {
    await using stack = await openRegistries();
    stack.rules[1]!.audience = `${AUDIENCE}/drawer`; // the second of the two rules above

    const credential = await stack.pull(`${stack.server.host}/team/app:1`, {}, { aud: [AUDIENCE] });

    expect(credential).toMatchObject({ hosts: [stack.server.host], username: 'token' });
    expect(credential.expiresAt).toBe(stack.world.clock.now() + 1200_000);
  });

  test('has its refusals sorted by its own table, with its own cures, and nothing of them shown', async () => {
    await using stack = await openRegistries();
    const { world, server } = stack;
    const image = 'team.shelf.example/app:1';
    const told = async (reader: string, claims = {}) => {
      const problem = await problemOf(stack.pull(image, { 'keyless-pull.dev/reader': reader }, claims));
      expectNothingShown(problem, PASSWORD, ...world.secrets);
      return [problem.code, problem.message];
    };

    expect(await told('bob-2')).toEqual([
      'exchange-refused',
      `${server.host} refuses this account (404 no-such-reader): the shelf needs a reader of this name`,
    ]);
    expect(await told('alice-1', { sub: 'system:serviceaccount:team-b:builder' })).toEqual([
      'exchange-waiting',
      `${server.host} does not know the trust for this account (yet) (403 not-known-yet)`,
    ]);
    expect((await told('alice-1', { exp: 1 }))[0]).toBe('exchange-stale');
    server.mood = 'failing';
    expect((await told('alice-1'))[0]).toBe('exchange-unreachable');
    server.mood = 'html';
    expect((await told('alice-1'))[0]).toBe('exchange-malformed');
  });

  test('has its hosts, parameters and endpoints checked in every config', async () => {
    await using stack = await openRegistries();
    const faultsOf = async (change: object) => {
      const [rule] = stack.rules;
      const text = yaml.stringify({
        apiVersion: 'keyless-pull.dev/v1',
        kind: 'Config',
        rules: [{ ...rule, ...change }],
      });
      const problem = await problemOf(Promise.try(() => parseConfig(text, 'c', known)));
      return problem.details.faults?.join('\n');
    };

    expect(await faultsOf({ hosts: ['*.example'] })).toContain('this is no host of shelf');
    expect(await faultsOf({ registries: undefined })).toContain('list yours as registries (shelf names)');
    expect(await faultsOf({ parameters: {} })).toContain('shelf needs reader');
    expect(await faultsOf({ parameters: { reader: { from: 'rule', value: 'a b' } } })).toContain(
      'reader looks like name-NUMBER',
    );
    expect(
      await faultsOf({ exchange: { kind: 'shelf', endpoints: { sts: 'https://a.example' } } }),
    ).toContain('shelf has the endpoints api');
  });

  test('is left out where its parameter is not what it must be, or its host another’s', async () => {
    await using stack = await openRegistries();

    await expect(stack.pull('team.shelf.example/a:1')).rejects.toThrow('has no annotation');
    await expect(
      stack.pull('team.shelf.example/a:1', { 'keyless-pull.dev/reader': 'alice-1/../x' }),
    ).rejects.toThrow('reader looks like name-NUMBER');
    await expect(
      stack.pull('other.shelf.example/a:1', { 'keyless-pull.dev/reader': 'alice-1' }),
    ).rejects.toThrow('no rule covers registry other.shelf.example');
    expect(stack.server.requests).toEqual([]);
  });
});

test('the file of both is shorter than 80 lines, and so is that of each family of one call here', () => {
  const linesOf = (path: string) =>
    readFileSync(new URL(path, import.meta.url), 'utf8')
      .trimEnd()
      .split('\n').length;
  const files = ['quay', 'jfrog', 'cloudsmith', 'chainguard', 'token-realm'].map(
    (name) => `../../src/registry/${name}.ts`,
  );

  expect(['invented-registry.ts', ...files].filter((path) => linesOf(path) >= 80)).toEqual([]);
});
