// The program as a whole, on a real port: start, serve, stop, or say why not.
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Agent, fetch } from 'undici';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { runTokenServer } from '../../src/cli/token-server.ts';
import { createLog } from '../../src/log.ts';
import type { CertifiedKey, TestAuthority } from '../fakes/fake-issuer.ts';
import { createFakeIssuer, createTestAuthority } from '../fakes/fake-issuer.ts';
import { problemOf, setUpTrust, until } from './set-up.ts';
import { createTokenReviewDouble } from './token-review-double.ts';

async function setUp() {
  const trust = await setUpTrust();
  const { folder, issuer, clock } = trust;
  const authority: TestAuthority = await createTestAuthority();
  const signing: CertifiedKey = await authority.issue('signing');
  const serving: CertifiedKey = await authority.issue('serving');
  const files = {
    signingKey: folder.write('signing-key.pem', signing.keyPem),
    signingChain: folder.write('signing-chain.pem', signing.certificatePem),
    servingKey: folder.write('serving-key.pem', serving.keyPem),
    servingChain: folder.write('serving-chain.pem', serving.certificatePem),
  };
  const config = (extra = '') =>
    folder.write(
      'config.yaml',
      `apiVersion: keyless-pull.dev/v1
kind: TokenServerConfig
registry: { service: registry.team.example, issuer: keyless-pull }
signing: { keys: [{ keyFile: ${files.signingKey}, certificateFile: ${files.signingChain} }] }
listen: { host: 127.0.0.1, port: 0 }
issuers:
  - { issuer: '${issuer.url}', audience: '${issuer.audience}', certificateAuthorityFile: ${trust.trusted.certificateAuthorityFile} }
access:
  - { namespaces: [team-a], repositories: ['{namespace}/**'], actions: [pull] }
${extra}
`,
    );
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  return {
    ...trust,
    authority,
    files,
    config,
    lines,
    io: { clock, log },
    [Symbol.asyncDispose]: trust[Symbol.asyncDispose],
  };
}

const basic = (user: string, password: string) => ({ authorization: `Basic ${btoa(`${user}:${password}`)}` });

describe('the token server', () => {
  test('serves logins over TLS from one config file, and stops when it is told to', async () => {
    await using world = await setUp();
    const { files, authority } = world;
    const stop = new AbortController();
    const path = world.config(
      `tls: { certificateFile: ${files.servingChain}, keyFile: ${files.servingKey} }`,
    );
    const dispatcher = new Agent({ allowH2: false, connect: { ca: authority.certificatePem } });

    const server = await runTokenServer({ config: path }, { ...world.io, signal: stop.signal });
    const headers = basic('team-a/builder', await world.issuer.token());
    const response = await fetch(`${server.url}/auth/token?scope=repository:team-a/app:pull`, {
      headers,
      dispatcher,
    });
    const body = await response.json();
    stop.abort();
    await server.stopped;

    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect(response.status).toBe(200);
    expect(body).toMatchObject({ expires_in: 300, scope: 'repository:team-a/app:pull' });
    await expect(fetch(server.url, { dispatcher })).rejects.toThrow();
    expect(world.lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual([
      'token server started',
      'registry token issued',
      'token server stopped',
    ]);
    await dispatcher.close();
  });

  test('without TLS says so in the log', async () => {
    await using world = await setUp();
    await using server = await runTokenServer({ config: world.config() }, world.io);

    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    expect(world.lines[0]).toContain('no TLS: passwords arrive in the clear');
  });

  test('starts when the issuer is down, and lets people in as soon as it is back', async () => {
    await using world = await setUp();
    world.issuer.mood = 'dropping';
    await using server = await runTokenServer({ config: world.config() }, world.io);
    const headers = basic('team-a/builder', await world.issuer.token());

    const before = await fetch(`${server.url}/auth/token`, { headers });
    world.issuer.mood = 'well';
    await world.clock.advance(5000);
    const after = await fetch(`${server.url}/auth/token`, { headers });

    expect([before.status, after.status]).toEqual([503, 200]);
    expect(world.lines.join()).toContain('the issuer cannot be asked yet');
  });

  test('finishes what it has begun before it stops', async () => {
    await using world = await setUp();
    const server = await runTokenServer({ config: world.config() }, world.io);
    const headers = basic('team-a/builder', 'wrong');
    for (let time = 0; time < 5; time++) await fetch(`${server.url}/auth/token`, { headers });
    const seen = world.lines.length;
    const held = fetch(`${server.url}/auth/token`, { headers });
    await until(() => world.lines.length > seen);

    const stopped = server[Symbol.asyncDispose]();
    await world.clock.advance(250);

    const response = await held;
    expect([response.status, response.headers.get('connection')]).toEqual([401, 'close']);
    await stopped;
  });

  test('stops though somebody holds a connection on which nothing is ever said', async () => {
    await using world = await setUp();
    const { servingChain, servingKey } = world.files;
    const tls = `tls: { certificateFile: ${servingChain}, keyFile: ${servingKey} }`;
    const server = await runTokenServer({ config: world.config(tls) }, world.io);
    const silent = connect(Number(new URL(server.url).port), '127.0.0.1').on('error', () => undefined);
    await once(silent, 'connect');
    // Connections are taken in their order: the silent one is there when this answer is.
    const dispatcher = new Agent({ allowH2: false, connect: { ca: world.authority.certificatePem } });
    await (await fetch(`${server.url}/healthz`, { dispatcher })).text();
    await dispatcher.close();

    const stopped = server[Symbol.asyncDispose]();
    await world.clock.advance(5000);

    await stopped;
    silent.destroy();
  });

  test('gives new connections the new serving certificate, and keeps the old ones', async () => {
    await using world = await setUp();
    const { files } = world;
    const path = world.config(
      `tls: { certificateFile: ${files.servingChain}, keyFile: ${files.servingKey} }`,
    );
    await using server = await runTokenServer({ config: path }, world.io);
    const next = await createTestAuthority('the next authority');
    const pair = await next.issue('renewed');
    const trusting = (ca: string) => new Agent({ allowH2: false, connect: { ca } });
    const old = trusting(world.authority.certificatePem);
    const renewed = trusting(next.certificatePem);
    const url = `${server.url}/healthz`;
    const health = async (dispatcher: Agent) => await (await fetch(url, { dispatcher })).json();
    await health(old);

    world.folder.write('serving-key.pem', pair.keyPem);
    world.folder.write('serving-chain.pem', pair.certificatePem);
    await world.clock.advance(10_000);
    await until(() => world.lines.join().includes('certificate reloaded'));

    expect(await health(renewed)).toEqual({ status: 'ok' });
    expect(await health(old)).toEqual({ status: 'ok' });
    await Promise.all([old.close(), renewed.close()]);
  });

  test('signs with the key that replaced the old one, without a restart', async () => {
    await using world = await setUp();
    await using server = await runTokenServer({ config: world.config() }, world.io);
    const headers = basic('team-a/builder', await world.issuer.token());
    const leafOf = async () => {
      const body = (await (await fetch(`${server.url}/auth/token`, { headers })).json()) as { token: string };
      const header = Buffer.from(body.token.split('.')[0] ?? '', 'base64url').toString();
      return (JSON.parse(header) as { x5c: string[] }).x5c[0];
    };
    const pem = (certificate: string) => certificate.replaceAll(/-----[^-]+-----|\s/g, '');
    const before = await leafOf();
    const leaf = await world.authority.issue('the next key');

    world.folder.write('signing-key.pem', leaf.keyPem);
    world.folder.write('signing-chain.pem', leaf.certificatePem);
    await world.clock.advance(10_000);

    expect(before).not.toBe(pem(leaf.certificatePem));
    expect(await leafOf()).toBe(pem(leaf.certificatePem));
  });

  test('keeps clusters apart: a namespace of one has no right of its namesake in the other', async () => {
    await using world = await setUp();
    await using other = await createFakeIssuer({ clock: world.clock });
    const text = readFileSync(world.config(), 'utf8')
      .replace(
        'access:\n',
        `  - { issuer: '${other.url}', audience: '${other.audience}', certificateAuthorityFile: ${world.folder.write('other.pem', other.certificateAuthorityPem)} }
access:
  - { issuer: '${other.url}', namespaces: [team-a], repositories: ['other/{namespace}/**'], actions: [pull] }
`,
      )
      .replace('  - { namespaces', `  - { issuer: '${world.issuer.url}', namespaces`);
    const path = world.folder.write('two.yaml', text);
    await using server = await runTokenServer({ config: path }, world.io);
    const granted = async (token: string) => {
      const scope = 'scope=repository:team-a/app:pull&scope=repository:other/team-a/app:pull';
      const answer = await fetch(`${server.url}/auth/token?${scope}`, {
        headers: basic('team-a/builder', token),
      });
      return ((await answer.json()) as { scope: string }).scope;
    };

    expect(await granted(await world.issuer.token())).toBe('repository:team-a/app:pull');
    expect(await granted(await other.token())).toBe('repository:other/team-a/app:pull');
  });

  test('says at the start which API server will not be asked, and answers 503 until it can', async () => {
    await using world = await setUp();
    await using double = await createTokenReviewDouble({ issuer: world.issuer, clock: world.clock });
    const ca = world.folder.write('api-ca.pem', double.server.certificateAuthorityPem);
    const bearer = world.folder.write('reviewer', 'wrong');
    const text = readFileSync(world.config(), 'utf8').replace(
      /, certificateAuthorityFile: \S+ }/,
      `, check: tokenReview, tokenReview: { server: '${double.server.url}', certificateAuthorityFile: ${ca}, bearerFile: ${bearer} } }`,
    );
    await using server = await runTokenServer({ config: world.folder.write('review.yaml', text) }, world.io);
    const headers = basic('team-a/builder', await world.issuer.token());

    const before = await fetch(`${server.url}/auth/token`, { headers });
    world.folder.write('reviewer', double.bearer);
    await world.clock.advance(5000);
    const after = await fetch(`${server.url}/auth/token`, { headers });

    expect([before.status, before.headers.get('retry-after'), after.status]).toEqual([503, '1', 200]);
    expect(world.lines.join()).toContain('bearerFile must hold a valid token');
  });

  test('options win over the config file', async () => {
    await using world = await setUp();
    await using server = await runTokenServer({ config: world.config(), host: 'localhost' }, world.io);

    expect(server.url).toMatch(/^http:\/\/localhost:/);
  });
});

test('--print-jwks prints the public half of every signing key, and nothing else', async () => {
  await using world = await setUp();
  const printed = { out: '', err: '' };

  const code = await runProgram(
    'keyless-pull',
    ['token-server', '--config', world.config(), '--print-jwks'],
    {
      out: (text) => (printed.out += text),
      err: (text) => (printed.err += text),
      readStdin: async () => '',
      signal: new AbortController().signal,
      isTerminal: false,
    },
  );

  expect({ code, err: printed.err }).toEqual({ code: 0, err: '' });
  const { keys } = JSON.parse(printed.out) as { keys: Record<string, string>[] };
  expect(keys.map((key) => Object.keys(key).toSorted())).toEqual([
    ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'],
  ]);
});

describe('the token server does not start', () => {
  test('on a port that is taken', async () => {
    await using world = await setUp();
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;

    const problem = await problemOf(runTokenServer({ config: world.config(), port }, world.io));

    expect(problem.code).toBe('port-taken');
    expect(problem.message).toBe(`cannot listen on 127.0.0.1, port ${port}: another program listens there`);
    taken.close();
  });

  test('with a config file that is missing or faulty', async () => {
    await using world = await setUp();

    const missing = await problemOf(runTokenServer({ config: '/nowhere.yaml' }, world.io));
    const faulty = await problemOf(runTokenServer({ config: world.config('anyuser: true') }, world.io));

    expect(missing.code).toBe('file-unreadable');
    expect(faulty.details.faults?.[0]).toMatch(/config\.yaml:10: anyuser: is not a known key$/);
  });

  test.for(['signing-key.pem', 'signing-chain.pem', 'serving-key.pem', 'serving-chain.pem'])(
    'without a good %s, and the sentence shows nothing of it',
    async (name) => {
      await using world = await setUp();
      const { files } = world;
      const path = world.config(
        `tls: { certificateFile: ${files.servingChain}, keyFile: ${files.servingKey} }`,
      );
      world.folder.write(name, '-----BEGIN MARKED-----');

      const problem = await problemOf(runTokenServer({ config: path }, world.io));

      expect(problem.code).toBe('certificate-unreadable');
      expect(problem.message).not.toContain('MARKED');
    },
  );

  test('when a file of an issuer is missing, instead of failing at the first login', async () => {
    await using world = await setUp();
    const path = world.config();
    const text = readFileSync(path, 'utf8').replace(
      'certificateAuthorityFile: ',
      'bearerFile: /nowhere, certificateAuthorityFile: ',
    );

    const problem = await problemOf(
      runTokenServer({ config: world.folder.write('config.yaml', text) }, world.io),
    );

    expect(problem.code).toBe('file-unreadable');
  });
});
