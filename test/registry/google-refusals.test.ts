// What Google's token exchange and its impersonation refuse, and what each becomes.
import { describe, expect, test } from 'vitest';
import { createGoogleDouble } from '../fakes/google-double.ts';
import { openWorld, problemAt, type ExchangeWish } from './set-up.ts';

const PROVIDER = 'projects/123456789/locations/global/workloadIdentityPools/clusters/providers/team';
const EMAIL = 'puller@team-project.iam.gserviceaccount.com';

const WISH: ExchangeWish = {
  kind: 'google',
  host: 'gcr.io',
  parameters: { 'workload-identity-provider': PROVIDER, 'service-account-email': EMAIL },
};

async function openGoogle(impersonators?: readonly string[]) {
  const world = await openWorld({ audience: `https://iam.googleapis.com/${PROVIDER}` });
  const { clock, trust } = world;
  const serviceAccounts = { [EMAIL]: impersonators ? { impersonators } : {} };
  const google = await world.use(createGoogleDouble({ clock, trust, provider: PROVIDER, serviceAccounts }));
  return { world, google, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

const triesFor = (code: string) => (/unreachable|throttled/.test(code) ? 3 : 1);

describe('the token exchange', () => {
  test.for([
    [400, 'invalid_grant', 'The signature is marked invalid.', 'exchange-refused', "this cluster's issuer"],
    [
      400,
      'invalid_grant',
      'ID Token is stale to sign-in: expired',
      'exchange-stale',
      'expired or not valid yet',
    ],
    [400, 'invalid_grant', 'ID Token issued at 1713260741 is stale to sign-in.', 'exchange-stale', ''],
    [400, 'invalid_grant', 'The ID Token is issued in the future.', 'exchange-stale', ''],
    [400, 'invalid_grant', 'Error connecting to the given credential issuer.', 'exchange-unreachable', ''],
    [400, 'invalid_grant', "Failed to fetch the issuer's keys.", 'exchange-unreachable', ''],
    [400, 'invalid_target', 'The pool is disabled.', 'exchange-waiting', 'does not exist, or is disabled'],
    [400, 'invalid_request', 'Invalid value for audience.', 'exchange-refused', '(400 invalid_request)'],
    [
      401,
      'unauthorized_client',
      'Rejected by the condition.',
      'exchange-refused',
      'attribute condition rejects',
    ],
    [429, 'rate_limited', '', 'exchange-throttled', 'asks us to wait (429 rate_limited)'],
    [500, 'server_error', '', 'exchange-unreachable', 'is failing (500 server_error)'],
    [503, 'temporarily_unavailable', '', 'exchange-unreachable', ''],
  ] as const)('%d %s "%s" is %s', async ([status, error, description, code, told]) => {
    await using stack = await openGoogle();
    const { world, google } = stack;
    google.refuseExchangeWith = { status, error, description, uri: 'https://marked.example' };

    const problem = await problemAt(world, google, WISH);

    expect(problem.code).toBe(code);
    expect(problem.message).toContain(told);
    expect(problem.message).not.toContain('marked');
    expect(google.requests).toHaveLength(triesFor(code));
  });

  test('as it judges a real token: of a stranger, for another audience, expired, longer than 127 bytes', async () => {
    await using stack = await openGoogle();
    const { world, google } = stack;
    const told = async (claims: Record<string, unknown>) =>
      await problemAt(world, google, { ...WISH, token: { claims } });

    expect(await told({ sub: 'system:serviceaccount:team-b:builder' })).toMatchObject({
      code: 'exchange-refused',
      details: { upstream: '400 unauthorized_client' },
    });
    expect(await told({ aud: ['https://elsewhere.example'] })).toMatchObject({ code: 'exchange-refused' });
    expect(await told({ exp: world.clock.now() / 1000 - 10 })).toMatchObject({ code: 'exchange-stale' });
    expect(await told({ iss: 'https://stranger.example' })).toMatchObject({ code: 'exchange-refused' });
    const sub = `system:serviceaccount:team-a:${'a'.repeat(120)}`;
    Object.assign(world.trust.subjects, [sub]);
    expect(await told({ sub })).toMatchObject({ details: { upstream: '400 invalid_request' } });
  });
});

describe('the impersonation', () => {
  test.for([
    [403, 'PERMISSION_DENIED', 'exchange-waiting', 'grant roles/iam.workloadIdentityUser'],
    [404, 'NOT_FOUND', 'exchange-refused', 'there is no service account of this e-mail'],
    [400, 'INVALID_ARGUMENT', 'exchange-refused', '(400 INVALID_ARGUMENT)'],
    [401, 'UNAUTHENTICATED', 'exchange-refused', '(401 UNAUTHENTICATED)'],
    [429, 'RESOURCE_EXHAUSTED', 'exchange-throttled', 'asks us to wait'],
    [503, 'UNAVAILABLE', 'exchange-unreachable', 'is failing'],
    [500, 'INTERNAL', 'exchange-unreachable', 'is failing'],
  ] as const)('%d %s is %s', async ([status, grpc, code, told]) => {
    await using stack = await openGoogle();
    const { world, google } = stack;
    google.refuseImpersonationWith = { status, code: grpc, message: 'a marked sentence' };

    const problem = await problemAt(world, google, WISH);

    expect(problem.code).toBe(code);
    expect(problem.message).toContain(told);
    expect(problem.message).not.toContain('marked');
    expect(google.requests).toHaveLength(1 + triesFor(code));
    for (const federated of google.federatedTokens.keys()) expect(problem.message).not.toContain(federated);
  });

  test('in a project that lacks the API says so, and not that a grant is missing', async () => {
    await using stack = await openGoogle();
    const details = [
      { '@type': 'type.googleapis.com/google.rpc.Help', links: [] },
      { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'SERVICE_DISABLED', metadata: {} },
    ];
    const refusal = { status: 403, code: 'PERMISSION_DENIED', message: 'a marked sentence', details };
    stack.google.refuseImpersonationWith = refusal;

    expect(await problemAt(stack.world, stack.google, WISH)).toMatchObject({
      code: 'exchange-waiting',
      message: expect.stringMatching(
        /\(403 SERVICE_DISABLED\): the project must have the API iamcredentials/,
      ),
    });
  });

  test('by an account that was not granted it waits: such grants take minutes to be known everywhere', async () => {
    await using stack = await openGoogle(['system:serviceaccount:team-b:builder']);

    expect(await problemAt(stack.world, stack.google, WISH)).toMatchObject({
      code: 'exchange-waiting',
      details: { upstream: '403 PERMISSION_DENIED' },
    });
  });

  test('of a service account that is not there is refused', async () => {
    await using stack = await openGoogle();
    const parameters = { ...WISH.parameters, 'service-account-email': EMAIL.replace('puller', 'nobody') };

    expect(await problemAt(stack.world, stack.google, { ...WISH, parameters })).toMatchObject({
      code: 'exchange-refused',
      details: { upstream: '404 NOT_FOUND' },
    });
  });
});
