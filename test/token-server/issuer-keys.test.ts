// The issuer's keys over time: rotation, outage, cool-down; and what of its answers is not believed.
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fetch as undiciFetch } from 'undici';
import { describe, expect, test } from 'vitest';
import { showError } from '../../src/log.ts';
import { SecretText } from '../../src/secret-text.ts';
import { COOL_DOWN_MS, FRESH_MS, OLD_MS, RETRY_MS } from '../../src/token-server/issuer-keys.ts';
import { CALL_DEADLINE_MS } from '../../src/token-server/json-call.ts';
import { createTokenVerifier } from '../../src/token-server/verify-token.ts';
import { problemAtStart, problemOf, setUpTrust, until } from './set-up.ts';

const DISCOVERY = '/.well-known/openid-configuration';
const KEYS = '/openid/v1/jwks';
const UNPUBLISHED = 'the token was signed with a key that its issuer does not publish';

describe('keys are remembered', () => {
  test('a hundred logins at once fetch the keys once', async () => {
    await using trust = await setUpTrust();
    const token = await trust.issuer.token();

    await Promise.all(Array.from({ length: 100 }, () => trust.verify(token)));

    expect(trust.issuer.requests).toEqual([DISCOVERY, KEYS]);
  });

  test('a login finds a rotated key by fetching again, and old tokens stay good while the old key is published', async () => {
    await using trust = await setUpTrust();
    const old = await trust.issuer.token();
    await trust.verify(old);

    await trust.issuer.rotate();
    await trust.clock.advance(COOL_DOWN_MS);

    await expect(trust.verify(trust.issuer.token())).resolves.toMatchObject({ namespace: 'team-a' });
    await expect(trust.verify(old)).resolves.toMatchObject({ namespace: 'team-a' });
    expect(trust.issuer.requests).toEqual([DISCOVERY, KEYS, DISCOVERY, KEYS]);
  });

  test('invented key ids cause one fetch per cool-down, however many there are', async () => {
    await using trust = await setUpTrust();
    await trust.verify(trust.issuer.token());

    for (const second of [10, 20, 30, 40, 50]) {
      await trust.clock.advance(10_000);
      const problem = await problemOf(
        trust.verify(trust.issuer.token({ header: { kid: `invented-${second}` } })),
      );
      expect(problem).toMatchObject({ code: 'login-refused', message: UNPUBLISHED });
    }

    expect(trust.issuer.requests.filter((path) => path === KEYS)).toHaveLength(2);
  });

  test('a key that the issuer takes back is refused after a while, without any restart', async () => {
    await using trust = await setUpTrust();
    const stolen = await trust.issuer.token();
    await trust.verify(stolen);
    await trust.issuer.rotate({ keepOld: false });

    await trust.clock.advance(FRESH_MS);
    await trust.verify(stolen);
    await trust.verify(trust.issuer.token()); // waits for the fetch that the line before has started
    const problem = await problemOf(trust.verify(stolen));

    expect(problem.message).toBe(UNPUBLISHED);
  });

  test('after a long idle time a key that was taken back lets nobody in, not even once', async () => {
    await using trust = await setUpTrust();
    const stolen = await trust.issuer.token({ claims: { exp: trust.clock.now() / 1000 + 100_000 } });
    await trust.verify(stolen);
    await trust.issuer.rotate({ keepOld: false });

    await trust.clock.advance(OLD_MS);
    const problem = await problemOf(trust.verify(stolen));

    expect(problem.message).toBe(UNPUBLISHED);
  });
});

describe('an outage of the issuer', () => {
  test('keeps the keys that are known, for hours', async () => {
    await using trust = await setUpTrust();
    const exp = trust.clock.now() / 1000 + 100_000;
    await trust.verify(trust.issuer.token());
    trust.issuer.mood = 'dropping';

    for (const wait of [FRESH_MS, OLD_MS, 10 * OLD_MS]) {
      await trust.clock.advance(wait);
      await expect(trust.verify(trust.issuer.token({ claims: { exp } }))).resolves.toBeDefined();
    }
  });

  test('before the first fetch means "try again", with the time to wait', async () => {
    await using trust = await setUpTrust();
    trust.issuer.mood = 'failing';

    const problem = await problemOf(trust.verify(trust.issuer.token()));

    expect(problem.code).toBe('exchange-unreachable');
    expect(problem.details.retryAfterMs).toBe(RETRY_MS);
    expect(showError(problem).cause).toMatchObject({ code: 'exchange-unreachable', upstream: '500' });
  });

  test('is asked about once per five seconds, and ends with the first fetch that works', async () => {
    await using trust = await setUpTrust();
    trust.issuer.mood = 'failing';
    await problemOf(trust.verify(trust.issuer.token()));

    trust.issuer.mood = 'well';
    const meanwhile = await problemOf(trust.verify(trust.issuer.token()));
    await trust.clock.advance(RETRY_MS);

    expect(meanwhile.code).toBe('exchange-unreachable');
    await expect(trust.verify(trust.issuer.token())).resolves.toMatchObject({ namespace: 'team-a' });
  });

  test('answers a token of a new key with "try again" instead of a refusal, for it may well be good', async () => {
    await using trust = await setUpTrust();
    await trust.verify(trust.issuer.token());
    await trust.issuer.rotate();
    trust.issuer.mood = 'dropping';
    await trust.clock.advance(COOL_DOWN_MS);

    const problem = await problemOf(trust.verify(trust.issuer.token()));

    expect(problem.code).toBe('exchange-unreachable');
  });

  test('that never answers is given up after five seconds', async () => {
    await using trust = await setUpTrust();
    trust.issuer.mood = 'stalling';

    const refused = problemOf(trust.verify(trust.issuer.token()));
    await until(() => trust.issuer.requests.length === 1);
    await trust.clock.advance(CALL_DEADLINE_MS);

    expect(await refused).toMatchObject({ code: 'exchange-unreachable' });
    expect(showError(await refused).cause?.message).toMatch(/cannot be reached: no answer in 5 s$/);
  });

  test('a caller who hangs up does not end the fetch that others wait for', async () => {
    await using trust = await setUpTrust();
    const caller = new AbortController();
    trust.issuer.mood = 'stalling';
    const token = await trust.issuer.token();

    const impatient = problemOf(trust.verify(token, caller.signal));
    const patient = problemOf(trust.verify(token));
    await until(() => trust.issuer.requests.length === 1);
    caller.abort();
    expect(await impatient).toMatchObject({ code: 'deadline' });
    await trust.clock.advance(CALL_DEADLINE_MS);

    expect(await patient).toMatchObject({ code: 'exchange-unreachable' });
    expect(trust.issuer.requests).toHaveLength(1);
  });
});

describe('what the issuer says is believed only so far:', () => {
  const causes: [string, string, (trust: Awaited<ReturnType<typeof setUpTrust>>) => void, RegExp][] = [
    [
      'another issuer in the discovery document',
      'exchange-malformed',
      ({ issuer }) => void (issuer.discovery['issuer'] = `${issuer.url}/`),
      /names another issuer; they must be equal byte for byte$/,
    ],
    [
      'keys without TLS',
      'exchange-malformed',
      ({ issuer }) => void (issuer.discovery['jwks_uri'] = issuer.url.replace('https', 'http')),
      /is no https URL$/,
    ],
    [
      'keys on a host that nobody named',
      'exchange-malformed',
      ({ issuer }) => void (issuer.discovery['jwks_uri'] = issuer.url.replace('127.0.0.1', 'localhost')),
      /is on the host localhost:\d+; name it in keysHosts if it is to be trusted$/,
    ],
    [
      'no jwks_uri',
      'exchange-malformed',
      ({ issuer }) => void delete issuer.discovery['jwks_uri'],
      /no discovery document$/,
    ],
    [
      'a discovery document as key set',
      'exchange-malformed',
      ({ issuer }) => void (issuer.discovery['jwks_uri'] = issuer.url + DISCOVERY),
      /no key set$/,
    ],
    [
      'a redirect',
      'exchange-malformed',
      ({ issuer }) => void (issuer.mood = 'redirecting'),
      /answered 302, wanted was 200$/,
    ],
    [
      'a document without end',
      'exchange-malformed',
      ({ issuer }) => void (issuer.mood = 'endless'),
      /more than 262144 bytes$/,
    ],
    ['a web page', 'exchange-malformed', ({ issuer }) => void (issuer.mood = 'gibberish'), /no JSON$/],
    [
      'no anonymous discovery',
      'exchange-refused',
      ({ issuer }) => void (issuer.bearer = 'x'),
      /answered 403: bind the ClusterRole system:service-account-issuer-discovery to everybody, or set bearerFile$/,
    ],
  ];
  test.for(causes)('%s', async ([, code, spoil, sentence]) => {
    await using trust = await setUpTrust();
    spoil(trust);

    const problem = await problemOf(trust.verify(trust.issuer.token()));

    expect(problem.code).toBe('exchange-unreachable');
    expect(showError(problem).cause).toMatchObject({
      code,
      message: expect.stringMatching(sentence) as unknown,
    });
  });

  test('what is no public key of ours to use is left out, and the others count (RFC 7517, section 5)', async () => {
    await using trust = await setUpTrust();
    const { publicJwk } = trust.issuer;
    trust.issuer.strangeKeys.push(
      null,
      'a text',
      {},
      { kid: publicJwk.kid },
      { ...publicJwk, kty: 'AKP' },
      { ...publicJwk, d: 'private' },
    );

    await expect(trust.verify(trust.issuer.token())).resolves.toMatchObject({ namespace: 'team-a' });
  });

  test('a certificate that the CA file does not vouch for', async () => {
    await using trust = await setUpTrust();
    await using other = await setUpTrust();
    trust.folder.write('ca.pem', other.issuer.certificateAuthorityPem);

    const problem = await problemAtStart(trust.verifier);

    expect(problem.code).toBe('exchange-unreachable');
    expect(problem.message).toMatch(/cannot be reached: [A-Z_]*(?:CERT|SIGNATURE|ISSUER)[A-Z_]*$/);
  });
});

describe('where an issuer is found', () => {
  test('keys may be on another host when the configuration names it', async () => {
    await using trust = await setUpTrust();
    const elsewhere = trust.issuer.url.replace('127.0.0.1', 'localhost');
    trust.issuer.discovery['jwks_uri'] = `${elsewhere}${KEYS}`;
    const keysHosts = [new URL(elsewhere).host];
    const verifier = createTokenVerifier({ issuers: [{ ...trust.trusted, keysHosts }], clock: trust.clock });

    const signal = new AbortController().signal;

    await expect(verifier.verify(new SecretText(await trust.issuer.token()), signal)).resolves.toBeDefined();
  });

  test('an issuer whose own name leads nowhere from here is read at its discoveryUrl', async () => {
    await using trust = await setUpTrust();
    const name = 'https://kubernetes.default.svc.cluster.local';
    trust.issuer.discovery['issuer'] = name;
    const trusted = { ...trust.trusted, issuer: name, discoveryUrl: `${trust.issuer.url}${DISCOVERY}` };
    const verifier = createTokenVerifier({ issuers: [trusted], clock: trust.clock });
    const token = await trust.issuer.token({ claims: { iss: name } });

    const verified = await verifier.verify(new SecretText(token), new AbortController().signal);

    expect(verified.issuer).toBe(name);
  });

  test('a bearer file is shown to the issuer, and read anew at every fetch', async () => {
    await using trust = await setUpTrust();
    trust.issuer.bearer = 'second';
    const bearerFile = trust.folder.write('bearer', 'first\n');
    const verifier = createTokenVerifier({ issuers: [{ ...trust.trusted, bearerFile }], clock: trust.clock });

    const refused = await problemAtStart(verifier);
    trust.folder.write('bearer', 'second\n');

    expect(refused).toMatchObject({ code: 'exchange-refused', details: { upstream: '403' } });
    expect(refused.message).toContain('the token in bearerFile must be valid there');
    await expect(verifier.prepare()).resolves.toEqual([]);
  });

  test('a CA file that is missing is named', async () => {
    await using trust = await setUpTrust({ trusted: { certificateAuthorityFile: '/nowhere/ca.pem' } });

    const problem = await problemAtStart(trust.verifier);

    expect(problem).toMatchObject({ code: 'file-unreadable' });
    expect(problem.message).toContain('/nowhere/ca.pem');
  });

  test('a CA file without a certificate is refused, and the authorities of the system are not asked instead', async () => {
    await using trust = await setUpTrust();
    trust.folder.write('ca.pem', '');
    // What the system would vouch for, this once the issuer too.
    const system = getCACertificates('default');
    setDefaultCACertificates([...system, trust.issuer.certificateAuthorityPem]);
    try {
      const problem = await problemAtStart(trust.verifier);

      expect(problem).toMatchObject({
        code: 'file-unreadable',
        message: `${trust.trusted.certificateAuthorityFile} holds no certificate`,
      });
      expect(trust.issuer.requests).toEqual([]);
    } finally {
      setDefaultCACertificates(system);
    }
  });

  test('no redirect is followed, whoever fetches', async () => {
    await using trust = await setUpTrust();
    const redirects: unknown[] = [];
    const fetch: typeof undiciFetch = async (url, init) => {
      redirects.push(init?.redirect);
      return await undiciFetch(url, init);
    };
    const verifier = createTokenVerifier({ issuers: [trust.trusted], clock: trust.clock, fetch });

    await verifier.prepare();

    expect(redirects).toEqual(['manual', 'manual']);
  });
});
