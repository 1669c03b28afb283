// Image references: the grammar of distribution/reference v0.6.0, which kubelets use, and Docker Hub's names.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostOfImage, parseImageReference } from '../../src/core/image-reference.ts';
import { Problem } from '../../src/problem.ts';
import type { ImageReference } from '../../src/core/image-reference.ts';

const HEX = '0123456789abcdef'.repeat(4);
const DIGEST = `sha256:${HEX}`;

const good: [text: string, host: string, repository: string, rest?: { tag?: string; digest?: string }][] = [
  ['nginx', 'docker.io', 'library/nginx'],
  ['nginx:1.29', 'docker.io', 'library/nginx', { tag: '1.29' }],
  ['nginx@' + DIGEST, 'docker.io', 'library/nginx', { digest: DIGEST }],
  ['nginx:1.29@' + DIGEST, 'docker.io', 'library/nginx', { tag: '1.29', digest: DIGEST }],
  ['bitnami/redis', 'docker.io', 'bitnami/redis'],
  ['library/nginx', 'docker.io', 'library/nginx'],
  ['docker.io/nginx', 'docker.io', 'library/nginx'],
  ['docker.io/bitnami/redis', 'docker.io', 'bitnami/redis'],
  ['index.docker.io/nginx', 'docker.io', 'library/nginx'],
  ['index.docker.io/bitnami/redis:7', 'docker.io', 'bitnami/redis', { tag: '7' }],
  ['registry-1.docker.io/library/nginx', 'registry-1.docker.io', 'library/nginx'],
  ['DOCKER.IO/nginx', 'DOCKER.IO', 'nginx'],
  ['localhost', 'docker.io', 'library/localhost'],
  ['localhost:5000', 'docker.io', 'library/localhost', { tag: '5000' }],
  ['localhost/x', 'localhost', 'x'],
  ['localhost:5000/x', 'localhost:5000', 'x'],
  ['localhost/a/b', 'localhost', 'a/b'],
  ['a.b', 'docker.io', 'library/a.b'],
  ['a.b/c', 'a.b', 'c'],
  ['a/b', 'docker.io', 'a/b'],
  ['A/b', 'A', 'b'],
  ['LOCALDOMAIN/library/debian', 'LOCALDOMAIN', 'library/debian'],
  ['Registry.Team.Example/app', 'Registry.Team.Example', 'app'],
  ['a:5000/b', 'a:5000', 'b'],
  ['a:5000/b:5000', 'a:5000', 'b', { tag: '5000' }],
  ['registry.team.example:5000/shop/app:v1', 'registry.team.example:5000', 'shop/app', { tag: 'v1' }],
  [
    'registry.team.example:5000/shop/app@' + DIGEST,
    'registry.team.example:5000',
    'shop/app',
    { digest: DIGEST },
  ],
  ['192.168.0.1', 'docker.io', 'library/192.168.0.1'],
  ['192.168.0.1:80', 'docker.io', 'library/192.168.0.1', { tag: '80' }],
  ['127.0.0.1:5000/docker/docker', '127.0.0.1:5000', 'docker/docker'],
  ['[fc00::1]:5000/docker', '[fc00::1]:5000', 'docker'],
  ['[fc00::1]/docker', '[fc00::1]', 'docker'],
  ['[2001:DB8::1]:443/a/b:t', '[2001:DB8::1]:443', 'a/b', { tag: 't' }],
  ['xn--bcher-kva.example/app', 'xn--bcher-kva.example', 'app'],
  ['a--b.example/app', 'a--b.example', 'app'],
  ['docker---rules/docker', 'docker.io', 'docker---rules/docker'],
  ['dock__er/docker', 'docker.io', 'dock__er/docker'],
  ['a.b/c.d_e__f-g--h', 'a.b', 'c.d_e__f-g--h'],
  ['ghcr.io/a/b/c/d/e/f', 'ghcr.io', 'a/b/c/d/e/f'],
  ['ghcr.io/a/b:_under.and-dash', 'ghcr.io', 'a/b', { tag: '_under.and-dash' }],
  ['ghcr.io/a/b:UPPER', 'ghcr.io', 'a/b', { tag: 'UPPER' }],
  ['ghcr.io/a/b:' + 't'.repeat(128), 'ghcr.io', 'a/b', { tag: 't'.repeat(128) }],
  [`docker.io/${HEX}`, 'docker.io', `library/${HEX}`],
  [`${HEX}:latest`, 'docker.io', `library/${HEX}`, { tag: 'latest' }],
  [`a${HEX}`, 'docker.io', `library/a${HEX}`],
  [`a@sha512:${HEX}${HEX}`, 'docker.io', 'library/a', { digest: `sha512:${HEX}${HEX}` }],
  [`a@multihash+base58:${HEX}`, 'docker.io', 'library/a', { digest: `multihash+base58:${HEX}` }],
  ['docker.io/' + 'a'.repeat(255 - 'library/'.length), 'docker.io', `library/${'a'.repeat(247)}`],
  // The host does not count: RepositoryNameTotalLengthMax bounds the path alone.
  ['registry.team.example/' + 'a'.repeat(255), 'registry.team.example', 'a'.repeat(255)],
];

const bad: [text: string, message: RegExp][] = [
  ['', /is empty$/],
  [' ', /malformed/],
  [' nginx', /malformed/],
  ['nginx ', /malformed/],
  ['nginx\n', /malformed/],
  ['nginx\t:1', /malformed/],
  ['nginx: 1', /malformed tag/],
  ['nginx:', /malformed tag/],
  ['nginx:-1', /malformed tag/],
  ['nginx:.1', /malformed tag/],
  ['nginx:a:b', /malformed tag/],
  ['nginx:' + 't'.repeat(129), /malformed tag/],
  ['nginx@', /malformed digest/],
  ['nginx@sha256', /malformed digest/],
  ['nginx@sha256:', /malformed digest/],
  ['nginx@sha256:abc', /malformed digest/],
  [`nginx@sha256:${'g'.repeat(64)}`, /malformed digest/],
  [`nginx@${DIGEST}@${DIGEST}`, /malformed digest/],
  [`nginx@${DIGEST}:tag`, /malformed digest/],
  [`@${DIGEST}`, /malformed repository/],
  [':tag', /malformed repository/],
  ['/', /malformed/],
  ['//', /malformed/],
  ['/nginx', /malformed repository/],
  ['nginx/', /malformed repository/],
  ['a.b/', /malformed repository/],
  ['a.b//c', /malformed repository/],
  ['a/b//c', /malformed repository/],
  ['docker///docker', /malformed repository/],
  ['docker/Docker', /malformed repository name \(it must be lower case\)/],
  ['Uppercase', /must be lower case/],
  ['a.b/C', /must be lower case/],
  ['-docker/docker', /malformed repository/],
  ['docker-/docker', /malformed repository/],
  ['_docker/docker', /malformed repository/],
  ['____/____', /malformed repository/],
  ['dock..er/docker', /malformed registry host/],
  ['a/dock..er', /malformed repository/],
  ['a/dock___er', /malformed repository/],
  ['a/dock_.er', /malformed repository/],
  ['-docker.io/docker', /malformed registry host/],
  ['docker-.io/docker', /malformed registry host/],
  ['.docker.io/docker', /malformed registry host/],
  ['docker.io./docker', /malformed registry host/],
  ['under_score.example/app', /malformed registry host/],
  ['a:/b', /malformed registry host/],
  ['a:port/b', /malformed registry host/],
  [':5000/b', /malformed registry host/],
  ['https://ghcr.io/a/b', /malformed registry host/],
  ['oci://ghcr.io/a', /malformed registry host/],
  ['user:password@ghcr.io/a/b', /malformed digest/],
  ['[fc00::1]', /malformed/],
  ['[fc00::1]:5000', /malformed/],
  ['fc00::1:5000/debian', /malformed registry host/],
  ['[fe80::1%eth0]:5000/debian', /malformed registry host/],
  ['[2001:db8:3:4::192.0.2.33]:5000/debian', /malformed registry host/],
  ['[fc00::1/debian', /malformed registry host/],
  ['bücher.example/app', /malformed registry host/],
  ['ghcr.io/bücher', /malformed repository/],
  ['ghcr.io/a\u0000b', /malformed repository/],
  ['ghcr.io/a\u202eb', /malformed repository/],
  ['ghcr.io/K', /malformed repository/],
  ['ghcr.io/a:ｔ', /malformed tag/],
  ['${IMAGE}', /malformed repository/],
  ['ghcr.io/{{ .Values.image }}', /malformed repository/],
  [HEX, /bare image id/],
  ['docker.io/' + 'a'.repeat(255 - 'library/'.length + 1), /longer than 255 characters/],
  ['registry.team.example/' + 'a'.repeat(256), /longer than 255 characters/],
  ['a'.repeat(1025), /longer than 1024 characters/],
];

describe('an image reference', () => {
  test.for(good)('%s is read as a kubelet reads it', ([text, host, repository, rest = {}]) => {
    expect(parseImageReference(text)).toEqual({ host, repository, ...rest });
  });

  test.for(bad)('%j is refused', ([text, message]) => {
    const problem = problemOf(text);

    expect(problem?.code).toBe('image-unparseable');
    expect(problem?.message).toMatch(message);
  });

  test('names a host alone, or none where it is no reference', () => {
    expect(hostOfImage('nginx')).toBe('docker.io');
    expect(hostOfImage('registry.team.example:5000/Shop')).toBeUndefined();
  });

  test('of exactly 1,024 characters is read', () => {
    const host = `${'h.'.repeat(383)}hh`;

    expect(parseImageReference(`${host}/${'a'.repeat(255)}`)).toEqual({ host, repository: 'a'.repeat(255) });
  });

  test('is quoted whole up to 80 characters', () => {
    expect(problemOf('B'.repeat(80))?.message).toContain(`"${'B'.repeat(80)}"`);
    expect(problemOf('B'.repeat(81))?.message).toContain(`"${'B'.repeat(79)}…"`);
  });

  test('is quoted in the refusal, 80 characters at most, in one line', () => {
    const problem = problemOf(`ghcr.io/a\n${'B'.repeat(500)}`);

    expect(problem?.message).not.toContain('\n');
    expect(problem?.message.length).toBeLessThan(160);
  });

  test('that is printed can be read again', () => {
    fc.assert(
      fc.property(references, (reference) => {
        expect(parseImageReference(print(reference))).toEqual(reference);
      }),
      { numRuns: 5000 },
    );
  });

  test('of any text is read or refused with a problem, and nothing else happens', () => {
    const pieces = fc.constantFrom(
      'a',
      'B',
      '.',
      ':',
      '/',
      '@',
      '-',
      '_',
      '[',
      ']',
      '5000',
      'docker.io',
      'localhost',
      DIGEST,
      HEX,
      ' ',
      'ü',
      '\n',
    );
    const almost = fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(almost, fc.string({ unit: 'binary', maxLength: 60 })), (text) => {
        const read = readOrProblem(text);
        if (!(read instanceof Problem)) expect(parseImageReference(print(read))).toEqual(read);
      }),
      { numRuns: 30_000 },
    );
  });

  test.for([
    ['one long word', 'a'.repeat(1000)],
    ['dashes that lead nowhere', `a${'-'.repeat(998)}!`],
    ['underscores', '_'.repeat(1000)],
    ['many labels and a wrong end', `${'a.'.repeat(499)}!/x`],
    ['many dashed labels and a wrong end', `${'a-a.'.repeat(249)}_/x`],
    ['many components and a wrong end', `${'a-a/'.repeat(249)}!`],
    ['slashes', '/'.repeat(1000)],
    ['colons', ':'.repeat(1000)],
    ['at signs', '@'.repeat(1000)],
    ['an endless port', `a:${'1'.repeat(990)}/!`],
    ['an endless address', `[${':'.repeat(990)}/x`],
    ['a digest of many parts', `a@${'a+'.repeat(490)}:!`],
    ['a megabyte', 'a.b/'.repeat(262_144)],
  ])('of %s costs no more than its length', ([, text = '']) => {
    const started = performance.now();

    for (let turn = 0; turn < 2000; turn++) readOrProblem(text);

    // 0.02 ms each is usual; a pattern that backtracks would need seconds for one.
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

const lower = 'abcdefghijklmnopqrstuvwxyz0123456789'.split('');
const word = fc.string({ unit: fc.constantFrom(...lower), minLength: 1, maxLength: 8 });
const component = fc
  .tuple(word, fc.array(fc.tuple(fc.constantFrom('.', '_', '__', '-', '---'), word), { maxLength: 2 }))
  .map(([first, more]) => first + more.map(([separator, next]) => separator + next).join(''));
const label = fc
  .tuple(word, word)
  .chain(([one, two]) => fc.constantFrom(one, `${one}-${two}`, `${one}--${two}`, one.toUpperCase()));
const dotted = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.'));
const port = fc.integer({ min: 0, max: 99_999 });
const host = fc.oneof(
  dotted.filter((name) => name !== 'index.docker.io'),
  fc
    .tuple(fc.oneof(dotted, label, fc.constant('[2001:db8::1]')), port)
    .map(([name, number]) => `${name}:${number}`),
  fc.constantFrom('localhost', 'docker.io', '[::1]'),
);
const references: fc.Arbitrary<ImageReference> = fc
  .record(
    {
      host,
      repository: fc.array(component, { minLength: 2, maxLength: 4 }).map((parts) => parts.join('/')),
      tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/),
      digest: fc.constantFrom(DIGEST, `sha512:${HEX}${HEX}`),
    },
    { requiredKeys: ['host', 'repository'] },
  )
  .filter(({ repository }) => repository.length <= 255);

function print({ host: name, repository, tag, digest }: ImageReference): string {
  return `${name}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function readOrProblem(text: string): ImageReference | Problem {
  try {
    return parseImageReference(text);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

function problemOf(text: string): Problem | undefined {
  const read = readOrProblem(text);
  return read instanceof Problem ? read : undefined;
}
