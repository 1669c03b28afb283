import { expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createAuthority } from '../../src/certificates/authority.ts';
import { Problem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createCertificate, followCertificate } from '../../src/server/certificate.ts';
import { createCertificateFolder } from '../fakes/admission-certificates.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

async function createWorld() {
  const folder = await createCertificateFolder();
  const clock = createHandClock();
  const lines: { level: string; message: string; error?: { message: string } }[] = [];
  const log = createLog('info', { write: (line) => void lines.push(JSON.parse(line)) });
  const open = () => createCertificate({ clock, log }, folder);
  return { folder, clock, lines, open, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

test('a changed pair is taken, and who asked is told', async () => {
  await using world = await createWorld();
  await using certificate = await world.open();
  const told: string[] = [];
  certificate.onChange((pair) => void told.push(pair.certificate));

  const pair = await world.folder.renew();
  expect(await certificate.reload()).toBe(true);

  expect(certificate.current().certificate).toBe(pair.certificate);
  expect(told).toEqual([pair.certificate]);
  expect(world.lines).toMatchObject([{ level: 'info', message: 'certificate reloaded' }]);
});

test('files that have not changed are nothing to speak of', async () => {
  await using world = await createWorld();
  await using certificate = await world.open();

  expect(await certificate.reload()).toBe(false);

  expect(world.lines).toEqual([]);
});

test('the files are looked at every ten seconds', async () => {
  await using world = await createWorld();
  await using certificate = await world.open();
  const changed = new Promise((resolve) => certificate.onChange(resolve));

  await world.folder.renew();
  await world.clock.advance(10_000);

  await changed;
});

test.each([
  ['a key of another pair', 'is not the key of the certificate in', ['key']],
  ['a certificate whose key has not come yet', 'is not the key of the certificate in', ['certificate']],
] as const)('%s leaves the old pair in place, with one warning', async (_name, reason, halves) => {
  await using world = await createWorld();
  await using certificate = await world.open();
  const before = certificate.current();

  await world.folder.renew([...halves]);
  await certificate.reload();
  await certificate.reload();

  expect(certificate.current()).toBe(before);
  expect(world.lines).toMatchObject([
    {
      level: 'warn',
      message: 'certificate not reloaded',
      error: { message: expect.stringContaining(reason) },
    },
  ]);
});

test.each([
  ['certificate', 'holds no certificate in PEM form'],
  ['key', 'holds no private key in PEM form, or one with a passphrase'],
] as const)('a broken %s at the start is one sentence', async (half, reason) => {
  await using world = await createWorld();
  await world.folder.write(half, 'not PEM');

  await expect(world.open()).rejects.toMatchObject({
    code: 'certificate-unreadable',
    message: expect.stringContaining(reason),
  });
});

test('a file that is not there is one sentence', async () => {
  await using world = await createWorld();
  const tools = { clock: world.clock, log: createLog('silent') };
  const files = { certificateFile: '/nowhere/tls.crt', keyFile: '/nowhere/tls.key' };

  await expect(createCertificate(tools, files)).rejects.toMatchObject({
    code: 'certificate-unreadable',
    message: 'cannot read /nowhere/tls.crt: there is no such file',
  });
});

test('the key is nowhere to be seen', async () => {
  await using world = await createWorld();
  await using certificate = await world.open();

  expect(JSON.stringify(certificate.current())).not.toContain('PRIVATE KEY');
});

/** A source that a test fills by hand, as a Secret is. */
async function createSourceWorld() {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await createCertificateFolder());
  const clock = createHandClock(Date.now());
  const looks: boolean[] = [];
  const waited: string[] = [];
  const stop = new AbortController();
  const world = {
    clock,
    looks,
    waited,
    stop,
    folder,
    pair: undefined as { certificate: string; key: SecretText } | undefined,
    follow: () =>
      followCertificate(
        { clock, log: createLog('silent'), onLook: (isTaken) => void looks.push(isTaken) },
        {
          certificateFile: 'tls.crt',
          keyFile: 'tls.key',
          pollMs: 5_000,
          async read() {
            if (world.pair) return world.pair;
            throw new Problem('certificate-missing', 'there is none');
          },
          wait: { signal: stop.signal, onWait: ({ message }) => void waited.push(message) },
        },
      ),
    async make() {
      const { certificate, key } = await folder.renew();
      return { certificate, key: new SecretText(key) };
    },
  };
  const owned = stack.move();
  return { ...world, world, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('a first pair that may come later is waited for, once a second, and each time it is said why', async () => {
  await using stage = await createSourceWorld();
  const following = stage.follow();
  await stage.clock.advance(2_500);
  expect(stage.waited).toEqual(['there is none', 'there is none', 'there is none']);

  stage.world.pair = await stage.make();
  await stage.clock.advance(1_000);

  await using certificate = await following;
  expect(certificate.current().certificate).toBe(stage.world.pair.certificate);
});

test('who is told to stop while it waits for a first pair stops', async () => {
  await using stage = await createSourceWorld();
  const following = stage.follow();
  await stage.clock.advance(1_000);

  stage.stop.abort();

  await expect(following).rejects.toMatchObject({ name: 'AbortError' });
});

test('a pair that has ended does not replace one that has not, and that is told until it is cured', async () => {
  await using stage = await createSourceWorld();
  const now = stage.clock.now();
  const authority = await createAuthority('old', { notBefore: now - 200_000, notAfter: now - 100_000 });
  stage.world.pair = await stage.make();
  await using certificate = await stage.follow();
  const before = certificate.current();

  stage.world.pair = await authority.issue(['localhost']);
  await stage.clock.advance(10_000);
  expect(certificate.current()).toBe(before);
  expect(stage.looks).toEqual([true, false, false]);

  stage.world.pair = await stage.make();
  await stage.clock.advance(5_000);
  expect(certificate.current().certificate).toBe(stage.world.pair.certificate);
  expect(stage.looks.at(-1)).toBe(true);
});
