// Google Artifact Registry: federated directly or through a service account, in fleets and other universes, and what each
// of the two services refuses.
import { describe, expect, test } from 'vitest';
import { createGoogleDouble, type GoogleDouble } from '../fakes/google-double.ts';
import { createStrictServer } from '../fakes/strict-server.ts';
import {
  exchangeAt,
  HOUR_MS,
  MINUTE_MS,
  openWorld,
  problemAt,
  SUBJECT,
  type ExchangeWish,
  type World,
} from './set-up.ts';

const PROVIDER = 'projects/123456789/locations/global/workloadIdentityPools/clusters/providers/team';
const EMAIL = 'puller@team-project.iam.gserviceaccount.com';
const SCOPE = 'https://www.googleapis.com/auth/';
const HOST = 'europe-west1-docker.pkg.dev';
const DIRECT: ExchangeWish = {
  kind: 'google',
  host: HOST,
  parameters: { 'workload-identity-provider': PROVIDER },
};
const IMPERSONATED: ExchangeWish = {
  ...DIRECT,
  parameters: { ...DIRECT.parameters, 'service-account-email': EMAIL },
};

interface GoogleWorld extends AsyncDisposable {
  readonly world: World;
  readonly google: GoogleDouble;
}

async function openGoogle(): Promise<GoogleWorld> {
  const world = await openWorld({ audience: `https://iam.googleapis.com/${PROVIDER}` });
  const { clock, trust } = world;
  const options = { clock, trust, provider: PROVIDER, serviceAccounts: { [EMAIL]: {} } };
  const google = await world.use(createGoogleDouble(options));
  return { world, google, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

const formOf = (body = '') => Object.fromEntries(new URLSearchParams(body));

describe('directly', () => {
  test('the account pulls as itself, with one call', async () => {
    await using stack = await openGoogle();
    const { world, google } = stack;

    const credential = await exchangeAt(world, google, DIRECT);

    expect(credential).toMatchObject({ hosts: [HOST], username: 'oauth2accesstoken' });
    expect(credential.expiresAt).toBe(world.clock.now() + HOUR_MS);
    expect(google.federatedTokens.get(credential.password.reveal())).toMatchObject({
      principal: SUBJECT,
      scopes: [`${SCOPE}cloud-platform`],
    });
    expect(google.requests).toHaveLength(1);
    expect(google.requests[0]?.headers).not.toHaveProperty('authorization');
    expect(formOf(google.requests[0]?.body)).toMatchObject({
      audience: `//iam.googleapis.com/${PROVIDER}`,
      subject_token: world.secrets[0],
    });
  });

  test('a credential never outlives the ServiceAccount token, even where the answer says so', async () => {
    await using stack = await openGoogle();
    const { world, google } = stack;
    const short = { ...DIRECT, rule: { token: { expirationSeconds: 600 } } };

    const honest = await exchangeAt(world, google, short);
    google.expiresIn = 40_000;
    const boasting = await exchangeAt(world, google, short);

    for (const { expiresAt } of [honest, boasting])
      expect(expiresAt).toBe(world.clock.now() + 10 * MINUTE_MS);
  });

  test.for([0, -5, '3599', null, 'soon', [3599]])('an expires_in of %j is malformed', async (expiresIn) => {
    await using stack = await openGoogle();
    stack.google.expiresIn = expiresIn;

    expect(await problemAt(stack.world, stack.google, DIRECT)).toMatchObject({
      code: 'exchange-malformed',
      message: `${stack.google.host} answered with an answer without a proper expires_in`,
    });
  });
});

describe('through a service account', () => {
  test('the federated token may do nothing but that, and the last one only read', async () => {
    await using stack = await openGoogle();
    const { world, google } = stack;

    const credential = await exchangeAt(world, google, IMPERSONATED);

    expect(credential.username).toBe('oauth2accesstoken');
    expect(credential.expiresAt).toBe(world.clock.now() + HOUR_MS);
    expect(google.accessTokens.get(credential.password.reveal())).toMatchObject({
      principal: EMAIL,
      scopes: [`${SCOPE}cloud-platform.read-only`],
    });
    expect([...google.federatedTokens.values()].map(({ scopes }) => scopes)).toEqual([[`${SCOPE}iam`]]);
    const [, second] = google.requests;
    expect(second?.headers.authorization).toBe(`Bearer ${[...google.federatedTokens.keys()][0]}`);
    expect(second?.body).not.toContain(world.secrets[0]);
  });

  test('the credential lives as the answer says, however short the ServiceAccount token', async () => {
    await using stack = await openGoogle();
    const { world, google } = stack;

    const credential = await exchangeAt(world, google, {
      ...IMPERSONATED,
      rule: { token: { expirationSeconds: 600 } },
    });

    expect(credential.expiresAt).toBe(world.clock.now() + HOUR_MS);
  });

  test.for([
    ['2026-11-21T12:30:00.123456789Z', 30 * MINUTE_MS + 123],
    ['2026-11-21T13:30:00+01:00', 30 * MINUTE_MS],
    ['2126-01-01T00:00:00Z', 12 * HOUR_MS],
  ] as const)('an expireTime of %s is read, twelve hours at most', async ([expireTime, life]) => {
    await using stack = await openGoogle();
    const { world, google } = stack;
    google.expireTime = expireTime;

    const { expiresAt } = await exchangeAt(world, google, IMPERSONATED);

    expect(expiresAt - world.clock.now()).toBe(life);
  });

  test.for(['tomorrow', '', 1_795_305_600, null, {}])(
    'an expireTime of %j is malformed',
    async (expireTime) => {
      await using stack = await openGoogle();
      stack.google.expireTime = expireTime;

      expect(await problemAt(stack.world, stack.google, IMPERSONATED)).toMatchObject({
        code: 'exchange-malformed',
        message: `${stack.google.host} answered with an answer without a proper expireTime`,
      });
    },
  );

  test('the two services may be at places of their own', async () => {
    await using stack = await openGoogle();
    const { world, google } = stack;
    const endpoints = { sts: google.url, iamcredentials: google.url };

    await exchangeAt(world, google, { ...IMPERSONATED, exchange: { endpoint: undefined, endpoints } });

    expect(google.requests.map(({ path }) => path)).toEqual([
      '/v1/token',
      `/v1/projects/-/serviceAccounts/${encodeURIComponent(EMAIL)}:generateAccessToken`,
    ]);
  });
});

describe('elsewhere than at googleapis.com', () => {
  test('a fleet has an audience of its own at the token service, and needs no provider', async () => {
    await using world = await openWorld({ audience: 'team-project.svc.id.goog' });
    const audience =
      'identitynamespace:team-project.svc.id.goog:https://gkehub.googleapis.com/projects/team-project/locations/global/memberships/one';
    const server = await world.use(
      createStrictServer({
        clock: world.clock,
        answer: () => ({ body: { access_token: 'a federated token', expires_in: 3599 } }),
      }),
    );

    const { expiresAt } = await exchangeAt(world, server, {
      ...DIRECT,
      parameters: { 'sts-audience': audience },
    });

    expect(formOf(server.requests[0]?.body)['audience']).toBe(audience);
    expect(expiresAt).toBe(world.clock.now() + 3_599_000);
  });

  test('a universe has its own hosts for both services, and may keep the audience', async () => {
    await using world = await openWorld();
    const hosts: string[] = [];
    const http = async ({ url }: { url: URL }) => {
      hosts.push(url.host);
      const expireTime = new Date(world.clock.now() + HOUR_MS).toISOString();
      const text = JSON.stringify({ access_token: 'one', expires_in: 60, accessToken: 'two', expireTime });
      return { status: 200, text, header: () => undefined };
    };
    const nowhere = { url: 'https://127.0.0.1:1', host: '', certificateAuthorityPem: '' };

    await exchangeAt(world, nowhere, {
      kind: 'google',
      host: 'docker.s3nsregistry.fr',
      parameters: { ...IMPERSONATED.parameters, 'universe-domain': 's3nsapis.fr' },
      exchange: { endpoint: undefined, certificateAuthorityFile: undefined },
      http,
    });

    expect(hosts).toEqual(['sts.s3nsapis.fr', 'iamcredentials.s3nsapis.fr']);
  });
});

test('without a provider there is no plan', async () => {
  await using stack = await openGoogle();

  await expect(
    exchangeAt(stack.world, stack.google, { ...DIRECT, parameters: { 'service-account-email': EMAIL } }),
  ).rejects.toThrow('a workload-identity-provider (or an sts-audience) is needed');
});
