// keyless-pull verify-token in the protocol of docker_auth: what it reads, what it writes, and its exit code.
import { describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { verifyToken, type VerifyTokenOptions } from '../../src/cli/verify-token.ts';
import { setUpTrust } from './set-up.ts';

async function setUp() {
  const trust = await setUpTrust();
  const { clock, issuer, trusted } = trust;
  const flags = {
    issuer: issuer.url,
    audience: issuer.audience,
    caFile: trusted.certificateAuthorityFile ?? '',
  };
  async function run(stdin: string, options: VerifyTokenOptions = flags, words: string[] = []) {
    const printed = { out: '', err: '' };
    const io = {
      out: (text: string) => void (printed.out += text),
      err: (text: string) => void (printed.err += text),
      readStdin: async () => stdin,
      signal: new AbortController().signal,
      isTerminal: false,
    };
    const code = await verifyToken(words, options, io, clock);
    return { code, ...printed };
  }
  return { ...trust, flags, run, [Symbol.asyncDispose]: trust[Symbol.asyncDispose] };
}

const FORM = /^verify-token: [^\n]+\n$/;

describe('verify-token allows', () => {
  test('who owns the token, and says of whom it is in labels, each a list', async () => {
    await using world = await setUp();

    const result = await world.run(`team-a/builder ${await world.issuer.token()}`);

    expect(result).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(result.out)).toEqual({
      labels: {
        issuer: [world.issuer.url],
        namespace: ['team-a'],
        serviceAccount: ['builder'],
        sub: ['system:serviceaccount:team-a:builder'],
        aud: [world.issuer.audience],
      },
    });
  });

  test('a line end after the token, as a shell writes it', async () => {
    await using world = await setUp();

    expect((await world.run(`team-a/builder ${await world.issuer.token()}\n`)).code).toBe(0);
  });

  test('whom the issuers of a token server config allow, with its anyUser', async () => {
    await using world = await setUp();
    const config = world.folder.write(
      'config.yaml',
      `apiVersion: keyless-pull.dev/v1
kind: TokenServerConfig
registry: { service: registry.team.example, issuer: keyless-pull }
signing: { keys: [{ keyFile: not-read, certificateFile: not-read }] }
anyUser: true
issuers:
  - { issuer: 'https://elsewhere.example', audience: 'x' }
  - { issuer: '${world.flags.issuer}', audience: '${world.flags.audience}', certificateAuthorityFile: ${world.flags.caFile} }
`,
    );

    expect(await world.run(`oauth2 ${await world.issuer.token()}`, { config })).toMatchObject({ code: 0 });
  });

  test('any user only when it is told to', async () => {
    await using world = await setUp();
    const line = `oauth2 ${await world.issuer.token()}`;

    const strict = await world.run(line);
    const open = await world.run(line, { ...world.flags, anyUser: true });

    expect([strict.code, open.code]).toEqual([1, 0]);
    expect(strict).toMatchObject({
      out: '',
      err: 'verify-token: the user must be team-a/builder, to whom the token belongs\n',
    });
  });
});

describe('verify-token denies', () => {
  test.for<[string, Record<string, unknown>, string]>([
    ['another audience', { aud: ['https://other.example'] }, 'its audience must be'],
    ['an expired token', { exp: 1 }, 'the token has expired'],
    ['a person', { sub: 'alice' }, 'is no Kubernetes ServiceAccount'],
  ])('%s', async ([, claims, sentence]) => {
    await using world = await setUp();

    const result = await world.run(`team-a/builder ${await world.issuer.token({ claims })}`);

    expect(result).toMatchObject({ code: 1, out: '', err: expect.stringContaining(sentence) as unknown });
    expect(result.err).toMatch(FORM);
  });
});

describe('verify-token knows no such user, so that docker_auth asks its next backend,', () => {
  test('for an ordinary password, and for a token of an issuer that is not trusted', async () => {
    await using world = await setUp();
    const foreign = await world.issuer.token({ claims: { iss: 'https://elsewhere.example' } });

    for (const password of ['hunter2', 'a password with spaces', foreign]) {
      const result = await world.run(`alice ${password}`);
      expect(result).toMatchObject({ code: 2, out: '' });
      expect(result.err).toMatch(FORM);
    }
    expect(world.issuer.requests).toEqual([]);
  });
});

describe('verify-token fails with 3, which allows and denies nobody,', () => {
  test('when the issuer cannot be asked', async () => {
    await using world = await setUp();
    world.issuer.mood = 'dropping';

    const result = await world.run(`team-a/builder ${await world.issuer.token()}`);

    expect(result).toMatchObject({ code: 3, out: '' });
    expect(result.err).toMatch(FORM);
  });

  test.for<[string, VerifyTokenOptions]>([
    ['a config that is missing', { config: '/nowhere.yaml' }],
    ['a CA file that is missing', { issuer: 'https://127.0.0.1:1', audience: 'x', caFile: '/nowhere.pem' }],
    ['an issuer that is no URL', { issuer: 'cluster', audience: 'x' }],
    ["the API server's own audience", { issuer: 'https://a.example', audience: 'https://a.example' }],
    ['an empty audience', { issuer: 'https://a.example', audience: '' }],
  ])('for %s', async ([, options]) => {
    await using world = await setUp();
    const token = await world.issuer.token({ claims: { iss: options.issuer } });

    const result = await world.run(`team-a/builder ${token}`, options);

    expect(result).toMatchObject({ code: 3, out: '' });
    expect(result.err).toMatch(FORM);
  });

  test.for(['', '\n', 'only-one-word', ' x'])('for "%s" on stdin', async (stdin) => {
    await using world = await setUp();

    expect(await world.run(stdin)).toMatchObject({
      code: 3,
      out: '',
      err: expect.stringContaining('on stdin') as unknown,
    });
  });
});

describe('verify-token is used wrongly, 64,', () => {
  async function run(...words: string[]) {
    const printed = { out: '', err: '' };
    const code = await runProgram('keyless-pull', ['verify-token', ...words], {
      out: (text) => (printed.out += text),
      err: (text) => (printed.err += text),
      readStdin: async () => 'team-a/builder x',
      signal: new AbortController().signal,
      isTerminal: false,
    });
    return { code, ...printed };
  }

  test.for([
    ['--issuer', 'https://a.example', '--audience', 'x', 'team-a/builder', 'eyJMARKED'],
    ['--issuer', 'https://a.example', '--audience', 'x', '--token', 'eyJMARKED'],
    ['--issuer', 'https://a.example', '--audience', 'x', '--token=eyJMARKED'],
    ['eyJMARKED'],
  ])('by a token on the command line, and shows the right form but not the token: %s', async (words) => {
    const result = await run(...words);

    expect(result).toMatchObject({ code: 64, out: '' });
    expect(result.err).toContain(`printf '%s %s' shop/web "$TOKEN" | keyless-pull verify-token`);
    expect(result.err).not.toContain('MARKED');
  });

  test('without an audience, without an issuer, or with a config besides', async () => {
    expect(await run('--issuer', 'https://a.example')).toMatchObject({
      code: 64,
      err: expect.stringContaining('pass --audience: a token that is meant for anybody else') as unknown,
    });
    expect((await run('--audience', 'x')).code).toBe(64);
    expect((await run('--config', 'x.yaml', '--audience', 'x')).code).toBe(64);
  });
});
