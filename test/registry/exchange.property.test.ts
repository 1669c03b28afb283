// Whatever a server answers, an exchange ends in a credential that a docker config can carry or in a problem; and nothing
// of what was sent or answered is shown by either.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isProblem, problemCodes } from '../../src/problem.ts';
import { families } from '../../src/registry/families.ts';
import { createExchange } from '../../src/registry/exchange.ts';
import type { HttpAnswer } from '../../src/registry/http-call.ts';
import { expectNothingShown, inputFor, openWorld, type ExchangeWish } from './set-up.ts';

/** As secrets look: what looks like a word in its place is taken for a code, which no reader could tell. */
const SECRET = 'MarkedSecret2kZq3TtQxM1sW8vYb';
/** Every kind of family, with what each must be told; nothing is asked of the network here. */
const WISHES: readonly ExchangeWish[] = [
  { kind: 'token-exchange', host: 'registry.example' },
  { kind: 'quay', host: 'quay.example', parameters: { robot: 'team+puller' } },
  { kind: 'token-realm', host: 'registry.example' },
  {
    kind: 'google',
    host: 'europe-west1-docker.pkg.dev',
    parameters: {
      'workload-identity-provider':
        'projects/1/locations/global/workloadIdentityPools/pool/providers/cluster',
      'service-account-email': 'puller@project.iam.gserviceaccount.com',
    },
  },
  {
    kind: 'ecr',
    host: '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
    parameters: { 'role-arn': 'arn:aws:iam::111122223333:role/puller' },
  },
  {
    kind: 'ecr-public',
    host: 'public.ecr.aws',
    parameters: { 'role-arn': 'arn:aws:iam::111122223333:role/puller' },
  },
];
const NAMES = [
  'access_token accessToken token expires_in expireTime expiresAt expiry authorizationToken authorizationData',
  'error error_description error_type errors code status message __type Code Message',
]
  .join(' ')
  .split(' ');

const instant = fc.constantFrom('2026-11-21T12:30:00Z', '2126-01-01T00:00:00Z', 'soon', '');
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }).map((around) => `${around}${SECRET}${around}`),
  fc.constantFrom(SECRET, `AWS:${SECRET}`, `a:b:${SECRET}`, 'invalid_grant', 'AccessDenied', ''),
  fc
    .constantFrom(`AWS:${SECRET}`, SECRET, `:${SECRET}\n`)
    .map((login) => Buffer.from(login).toString('base64')),
  instant,
);
const number = fc.oneof(fc.integer({ min: -10, max: 7200 }), fc.double(), fc.constant(1.7953056e9));
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    text,
    number,
    fc.constantFrom(null, true),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 3 }),
  object: fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 6 }),
}));
const tag = fc
  .tuple(fc.constantFrom('AccessKeyId', 'SecretAccessKey', 'SessionToken', 'Code', 'Message'), text)
  .map(([name, inner]) => `<${name}>${inner}</${name}>`);
const xml = fc.array(tag, { maxLength: 6 }).map((tags) => `<Answer>${tags.join('\n')}</Answer>`);
const goodKeys = fc
  .tuple(text, text)
  .map(
    ([key, session]) =>
      `<AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId><SecretAccessKey>${key}</SecretAccessKey><SessionToken>${session}</SessionToken>`,
  );
const goodToken = fc
  .tuple(text, number)
  .map(([access, seconds]) =>
    JSON.stringify({ access_token: access, expires_in: seconds, token: access, accessToken: access }),
  );
const body = fc.oneof(
  value.map((one) => JSON.stringify(one)),
  xml,
  goodKeys,
  goodToken,
  text,
);
const header = fc.dictionary(
  fc.constantFrom(
    'date',
    'retry-after',
    'x-request-id',
    'x-amzn-requestid',
    'x-amzn-errortype',
    'www-authenticate',
  ),
  fc.oneof(
    text,
    instant,
    fc.constantFrom(
      '1',
      '99999999999',
      '-1',
      `Bearer realm="https://registry.example/t",service="${SECRET}"`,
    ),
  ),
);
const status = fc.oneof(
  { weight: 6, arbitrary: fc.constant(200) },
  { weight: 2, arbitrary: fc.constantFrom(201, 400, 401, 403, 429, 500, 503) },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 999 }) },
);
const answer = fc.record({ status, headers: header, text: body });

test('no answer, whatever it is, ends in anything but a credential or a problem, or shows what is secret', async () => {
  await using world = await openWorld();
  const anywhere = { url: 'https://127.0.0.1:1', host: '127.0.0.1:1', certificateAuthorityPem: '' };
  const inputs = await Promise.all(
    WISHES.map(async (wish) => {
      const exchange = { certificateAuthorityFile: undefined, endpoint: undefined };
      const own = wish.kind === 'token-exchange' ? { endpoint: 'https://sts.example/t' } : {};
      return await inputFor(world, anywhere, { ...wish, exchange: { ...exchange, ...own } });
    }),
  );
  const ends = new Map<string, number>();
  const { signal } = new AbortController();

  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...inputs),
      fc.array(answer, { minLength: 1, maxLength: 7 }),
      async (input, answers) => {
        let asked = 0;
        const http = async (): Promise<HttpAnswer> => {
          const { headers, ...rest } = answers[asked++ % answers.length]!; // there is one at least
          return { ...rest, header: (name) => headers[name] };
        };
        const end: unknown = await createExchange({ http, known: families })(
          { clock: world.clock, signal },
          input,
        ).catch((error: unknown) => error);

        const kind = isProblem(end) ? end.code : 'credential';
        ends.set(kind, (ends.get(kind) ?? 0) + 1);
        expectNothingShown(end, SECRET, ...world.secrets);
        if (isProblem(end)) {
          expect(problemCodes).toHaveProperty(end.code);
          expect(end.message).toMatch(/^[\x20-\x7E]+$/);
          expect(end.details.retryAfterMs ?? 0).toBeLessThanOrEqual(3600_000);
        } else {
          expect(end).toEqual({
            hosts: [input.planned.need.host],
            username: expect.stringMatching(/^[^:\p{Cc}]{1,255}$/u),
            password: expect.anything(),
            issuedAt: expect.any(Number),
            expiresAt: expect.any(Number),
          });
        }
        expect(asked).toBeLessThanOrEqual(6);
      },
    ),
    { numRuns: 3000 },
  );

  // Otherwise this test would have tried less than it says.
  expect([...ends.keys()]).toEqual(
    expect.arrayContaining(['credential', 'exchange-refused', 'exchange-malformed', 'exchange-throttled']),
  );
});
