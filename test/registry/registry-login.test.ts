// A registry login tried as a runtime would, against strict registries of both kinds, and what is said of each refusal.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { parseImageReference } from '../../src/core/image-reference.ts';
import { isProblem, type Problem } from '../../src/problem.ts';
import { createHttpCall } from '../../src/registry/http-call.ts';
import { tryRegistryLogin, type LoginWish } from '../../src/registry/registry-login.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from '../fakes/strict-server.ts';

const clock = createHandClock();
const PASSWORD = 'marked-password';
const BASIC = `Basic ${Buffer.from(`shop/web:${PASSWORD}`).toString('base64')}`;
const TOKEN = 'marked-registry-token';

interface World extends AsyncDisposable {
  readonly registry: StrictServer;
  /** Of the challenge; may be changed. */
  challenge: string | undefined;
  /** Replaces what a path answers. */
  readonly answers: Record<string, Answer>;
  login(wish?: Partial<LoginWish>): ReturnType<typeof tryRegistryLogin>;
}

/** A registry and its realm in one server: the realm takes BASIC, the registry BASIC or the realm's token. */
async function open(): Promise<World> {
  const registry = await createStrictServer({ clock, answer });
  const unauthorized = (extra: Record<string, string> = {}): Answer => ({
    status: 401,
    headers: extra,
    body: { errors: [{ code: 'UNAUTHORIZED' }] },
  });

  function answer(request: Received): Answer {
    const replaced = world.answers[request.path];
    if (replaced) return replaced;
    const { authorization } = request.headers;
    if (request.path === '/token') {
      return authorization === BASIC ? { body: { token: TOKEN, expires_in: 60 } } : unauthorized();
    }
    const isLetIn = authorization === BASIC || authorization === `Bearer ${TOKEN}`;
    if (world.challenge !== undefined && !isLetIn)
      return unauthorized({ 'www-authenticate': world.challenge });
    return request.path === '/v2/' || request.path === '/v2/shop/web/manifests/1'
      ? { body: {} }
      : { status: 404, body: { errors: [{ code: 'MANIFEST_UNKNOWN' }] } };
  }

  const world: World = {
    registry,
    challenge: `Bearer realm="${registry.url}/token",service="team"`,
    answers: {},
    login: (wish = {}) =>
      tryRegistryLogin(
        {
          http: createHttpCall(),
          clock,
          signal: clock.deadline(60_000),
          certificateAuthority: registry.certificateAuthorityPem,
          onDate: () => undefined,
        },
        {
          host: registry.host,
          credential: { username: 'shop/web', password: new SecretText(PASSWORD) },
          image: undefined,
          ...wish,
        },
      ),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
  return world;
}

const image = (world: World, rest = 'shop/web:1') => parseImageReference(`${world.registry.host}/${rest}`);

async function refusalOf(login: Promise<unknown>): Promise<Problem> {
  const error = await login.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isProblem(error)) throw new Error('the login was not refused', { cause: error });
  expect(JSON.stringify([error.message, error.details])).not.toMatch(/marked|c2hvcC93ZWI/);
  return error;
}

const said = (world: World) =>
  world.registry.requests.map(({ method, path, query, headers }) =>
    [method, `${path}${query.size > 0 ? `?${query.toString()}` : ''}`, headers.authorization]
      .join(' ')
      .trim(),
  );

describe('a login', () => {
  test('goes to the realm as Basic, and its token to the registry and the manifest', async () => {
    await using world = await open();

    const outcome = await world.login({ image: image(world) });

    expect(outcome).toEqual({ asked: 'Bearer', sentTo: world.registry.host });
    expect(said(world)).toEqual([
      'GET /v2/',
      `GET /token?service=team&scope=repository%3Ashop%2Fweb%3Apull ${BASIC}`,
      `GET /v2/ Bearer ${TOKEN}`,
      `GET /v2/shop/web/manifests/1 Bearer ${TOKEN}`,
    ]);
    expect(world.registry.requests.at(-1)?.headers.accept).toContain('oci.image.index');
  });

  test('without an image asks the realm for no scope, and for nothing behind /v2/', async () => {
    await using world = await open();

    await world.login();

    expect(said(world)).toEqual(['GET /v2/', `GET /token?service=team ${BASIC}`, `GET /v2/ Bearer ${TOKEN}`]);
  });

  test.each([
    { token: '', access_token: TOKEN },
    { token: null, access_token: TOKEN },
    { token: TOKEN, access_token: '' },
    { token: TOKEN, access_token: TOKEN, refresh_token: 'a marked one' },
  ])('is let in by whichever of its two names the token of the realm has: %j', async (body) => {
    await using world = await open();
    world.answers['/token'] = { body };

    await world.login();

    expect(said(world).at(-1)).toBe(`GET /v2/ Bearer ${TOKEN}`);
  });

  test('keeps the query that a realm has of its own, and reads access_token where there is no token', async () => {
    await using world = await open();
    world.challenge = `Bearer realm="${world.registry.url}/token?tenant=a",service="team"`;
    world.answers['/token'] = { body: { access_token: TOKEN } };

    await world.login();

    expect(said(world)[1]).toBe(`GET /token?tenant=a&service=team ${BASIC}`);
  });

  test.each(['Basic realm="ecr"', 'basic'])(
    'goes to the registry itself when it asks for %s',
    async (basic) => {
      await using world = await open();
      world.challenge = basic;

      const outcome = await world.login({ image: image(world) });

      expect(outcome).toEqual({ asked: 'Basic', sentTo: world.registry.host });
      expect(said(world).slice(1)).toEqual([`GET /v2/ ${BASIC}`, `GET /v2/shop/web/manifests/1 ${BASIC}`]);
    },
  );

  test.each(['Basic realm="x", BEARER', 'BEARER, Basic realm="x"', 'Negotiate, BEARER, Basic realm="x"'])(
    'prefers Bearer where others are offered too, as runtimes do: %s',
    async (several) => {
      await using world = await open();
      world.challenge = several.replace('BEARER', world.challenge ?? '');

      expect(await world.login()).toMatchObject({ asked: 'Bearer' });
    },
  );

  test('is not sent at all to a registry that asks for none', async () => {
    await using world = await open();
    world.challenge = undefined;

    const outcome = await world.login({ image: image(world) });

    expect(outcome).toEqual({ asked: 'nothing', sentTo: world.registry.host });
    expect(world.registry.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  test('follows a realm on another host, and says which', async () => {
    await using world = await open();
    const port = world.registry.host.split(':')[1];
    world.challenge = `Bearer realm="https://localhost:${port}/token",service="team"`;

    expect(await world.login()).toEqual({ asked: 'Bearer', sentTo: `localhost:${port}` });
  });

  test('asks for a digest by its digest, and for the latest where no tag is named', async () => {
    await using world = await open();
    const digest = `sha256:${'0'.repeat(64)}`;

    for (const [rest, last] of [
      [`shop/web:1@${digest}`, digest],
      ['shop/web', 'latest'],
    ] as const) {
      await refusalOf(world.login({ image: image(world, rest) }));
      expect(world.registry.requests.at(-1)?.path).toBe(`/v2/shop/web/manifests/${last}`);
    }
  });
});

describe('a refusal says whose it is and what it means', () => {
  test.each<[string, Record<string, Answer>, string]>([
    [
      'the realm does not take the login',
      { '/token': { status: 401, body: { errors: [{ code: 'UNAUTHORIZED' }] } } },
      'refuses this account (401 UNAUTHORIZED): the login is not accepted, or its user may not pull this',
    ],
    [
      'the realm gives a token that opens nothing',
      {
        '/v2/shop/web/manifests/1': {
          status: 401,
          headers: { 'www-authenticate': 'Bearer realm="x",error="insufficient_scope"' },
          body: { errors: [{ code: 'UNAUTHORIZED' }] },
        },
      },
      'refuses this account (401 insufficient_scope): the login is accepted, and its user may not pull this repository: grant it there',
    ],
    [
      'there is no such image',
      { '/v2/shop/web/manifests/1': { status: 404, body: { errors: [{ code: 'MANIFEST_UNKNOWN' }] } } },
      'refuses this account (404 MANIFEST_UNKNOWN): the login is accepted, and there is no such image',
    ],
    [
      'the user may not pull',
      { '/v2/shop/web/manifests/1': { status: 403, body: { errors: [{ code: 'DENIED' }] } } },
      'refuses this account (403 DENIED): the login is accepted, and its user may not pull this',
    ],
    [
      'the realm answers without a token',
      { '/token': { body: { expires_in: 60 } } },
      'answered with an answer without a proper content',
    ],
  ])('%s', async (_name, answers, sentence) => {
    await using world = await open();
    Object.assign(world.answers, answers);

    const { message } = await refusalOf(world.login({ image: image(world) }));

    expect(message).toBe(`${world.registry.host} ${sentence}`);
  });

  test("the registry does not know its realm's key", async () => {
    await using world = await open();
    world.answers['/token'] = { body: { token: 'another' } };
    world.challenge = `${world.challenge},error="invalid_token"`;

    const { message } = await refusalOf(world.login());

    expect(message).toContain("(401 invalid_token): the registry does not accept its realm's token");
  });

  test('a 401 without a challenge is a refusal, and not an open registry', async () => {
    await using world = await open();
    world.answers['/v2/'] = { status: 401 };

    expect((await refusalOf(world.login())).message).toContain('refuses this account (401)');
  });

  test.each(['http://127.0.0.1:1/token', 'not a url', ''])(
    'the realm %j is no https URL: nothing is sent',
    async (realm) => {
      await using world = await open();
      world.challenge = `Bearer realm="${realm}",service="team"`;

      const problem = await refusalOf(world.login());

      expect(problem.code).toBe('exchange-refused');
      expect(problem.message).toBe(
        `${world.registry.host} wants the login at a realm that is no https URL: a password is sent over https alone`,
      );
      expect(said(world)).toEqual(['GET /v2/']);
    },
  );

  test('a registry that redirects is not followed', async () => {
    await using world = await open();
    world.registry.mood = 'redirecting';

    expect((await refusalOf(world.login())).details.upstream).toBe('302');
    expect(world.registry.requests).toHaveLength(1);
  });

  test('a plain http registry on localhost is sent nothing', async () => {
    const heard: unknown[] = [];
    const plain = createServer((request, response) => {
      heard.push(request.url);
      response.end();
    });
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    await using world = await open();
    const host = `127.0.0.1:${(plain.address() as AddressInfo).port}`;
    const login = refusalOf(world.login({ host }));
    while (clock.waiting() > 0 && !(await settled(login))) await clock.advance(2_000);

    const problem = await login;
    plain.close();

    expect(problem.code).toBe('exchange-refused');
    expect(problem.message).toBe(
      `${host} speaks plain http: a password is sent over https alone, also on localhost; give the registry a certificate`,
    );
    expect(heard).toEqual([]);
  });
});

/** Whether it has come to an end, a turn of the event loop later. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  const later = new Promise<false>((resolve) => setImmediate(() => resolve(false)));
  return Promise.race([promise.then(() => true), later]);
}
