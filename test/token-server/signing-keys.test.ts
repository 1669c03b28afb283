// Whose turn it is to sign, while certificates come, go and are replaced under the running program.
import { describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import type { SigningKeyFiles } from '../../src/token-server/signing-keys.ts';
import { createSigningKeys } from '../../src/token-server/signing-keys.ts';
import type { TestAuthority } from '../fakes/fake-issuer.ts';
import { createTestAuthority } from '../fakes/fake-issuer.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { START, createFolder, problemOf } from './set-up.ts';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const LOOK_MS = 10_000;

/** Each name becomes a pair of files; the days of its certificate are counted from the start. */
async function setUp(days: Record<string, readonly [from: number, to: number]>) {
  const clock = createHandClock(START);
  const folder = createFolder();
  const authority: TestAuthority = await createTestAuthority();
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const write = async (file: string, [from, to]: readonly [number, number], as = file) => {
    const validity = { notBefore: new Date(START + from * DAY_MS), notAfter: new Date(START + to * DAY_MS) };
    const leaf = await authority.issue(as, validity);
    const pair = {
      keyFile: folder.write(`${file}.key`, leaf.keyPem),
      certificateFile: folder.write(`${file}.crt`, leaf.certificatePem),
    };
    return { pair, certificate: leaf.certificatePem, as };
  };
  const made: Awaited<ReturnType<typeof write>>[] = [];
  const put = async (...call: Parameters<typeof write>) => {
    const one = await write(...call);
    made.push(one);
    return one.pair;
  };
  const files: SigningKeyFiles[] = [];
  for (const [name, validity] of Object.entries(days)) files.push(await put(name, validity));
  const open = () => createSigningKeys(files, { clock, log, tokenSeconds: 300 });
  const nameOf = (certificates: readonly string[]) =>
    made.find(({ certificate }) => certificate.replaceAll(/-----[^-]+-----|\s/g, '') === certificates[0])?.as;
  return {
    clock,
    folder,
    put,
    open,
    lines,
    messages: () => lines.map((line) => (JSON.parse(line) as { message: string }).message),
    signer: (keys: ReturnType<typeof open>) => nameOf(keys.current().certificates),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

describe('of several keys', () => {
  test('the first whose certificate is valid signs', async () => {
    using world = await setUp({ future: [10, 400], present: [-10, 300], spare: [-20, 200] });
    await using keys = world.open();

    expect(world.signer(keys)).toBe('present');
  });

  test('the next one takes over when its time has come, a minute after it became valid', async () => {
    using world = await setUp({ next: [1, 400], old: [-300, 100] });
    await using keys = world.open();

    world.clock.turn(DAY_MS + MINUTE_MS - 1);
    const before = world.signer(keys);
    await world.clock.advance(1);

    expect([before, world.signer(keys)]).toEqual(['old', 'next']);
    expect(world.messages()).toEqual(['another key signs registry tokens']);
  });

  test('one whose certificate would end before the token does not sign any more', async () => {
    using world = await setUp({ ending: [-300, 1], spare: [-10, 300] });
    await using keys = world.open();

    world.clock.turn(DAY_MS - 300_000 - MINUTE_MS - 1);
    const before = world.signer(keys);
    await world.clock.advance(1);

    expect([before, world.signer(keys)]).toEqual(['ending', 'spare']);
  });

  test('the last minutes of the only one are used, and then it is said that nothing is left', async () => {
    using world = await setUp({ only: [-300, 1] });
    await using keys = world.open();

    world.clock.turn(DAY_MS - 1);
    const last = world.signer(keys);
    await world.clock.advance(1);

    expect(last).toBe('only');
    expect((await problemOf(Promise.resolve().then(() => keys.current()))).code).toBe('not-ready');
  });

  test('a brand-new one signs at once where there is no other', async () => {
    using world = await setUp({ fresh: [0, 300] });
    await using keys = world.open();

    expect(world.signer(keys)).toBe('fresh');
  });
});

describe('a key that is replaced in its files', () => {
  test('goes on signing until the new certificate has been valid for a minute', async () => {
    using world = await setUp({ leaf: [-300, 100] });
    await using keys = world.open();
    await world.put('leaf', [0, 400], 'renewed');

    await world.clock.advance(LOOK_MS);
    const early = world.signer(keys);
    await world.clock.advance(MINUTE_MS);

    expect([early, world.signer(keys)]).toEqual(['leaf', 'renewed']);
    expect(world.messages()).toEqual(['signing key reloaded', 'another key signs registry tokens']);
  });

  test('never signs again after that, also when the new one ends first', async () => {
    using world = await setUp({ stolen: [-300, 300] });
    await using keys = world.open();
    await world.put('stolen', [-1, 2], 'short');

    await world.clock.advance(LOOK_MS);
    world.clock.turn(2 * DAY_MS);
    await world.clock.advance(LOOK_MS);

    expect((await problemOf(Promise.resolve().then(() => keys.current()))).code).toBe('not-ready');
  });

  test('stays when the new files cannot be used, with one warning until they can', async () => {
    using world = await setUp({ leaf: [-300, 100] });
    await using keys = world.open();
    world.folder.write('leaf.crt', '-----BEGIN MARKED-----');

    await world.clock.advance(6 * LOOK_MS);
    const during = world.signer(keys);
    await world.put('leaf', [-1, 400], 'renewed');
    await world.clock.advance(LOOK_MS);

    expect([during, world.signer(keys)]).toEqual(['leaf', 'renewed']);
    expect(world.messages().slice(0, 2)).toEqual([
      'signing key not reloaded, the old one stays',
      'signing key reloaded',
    ]);
    expect(world.lines.join()).not.toContain('MARKED');
  });

  test('stays while only one of its two files has been replaced', async () => {
    using world = await setUp({ leaf: [-300, 100], other: [-300, 100] });
    await using keys = world.open();
    world.folder.write('leaf.key', 'none yet');

    await world.clock.advance(LOOK_MS);

    expect(world.signer(keys)).toBe('leaf');
  });
});

describe('the end of the signing certificates', () => {
  test('is announced two weeks ahead, once a day', async () => {
    using world = await setUp({ only: [-300, 15] });
    await using _keys = world.open();
    const atStart = world.messages().length;

    world.clock.turn(DAY_MS);
    await world.clock.advance(LOOK_MS);
    const first = world.messages();
    world.clock.turn(DAY_MS);
    await world.clock.advance(LOOK_MS);

    expect(atStart).toBe(0);
    expect(first).toEqual(['the signing certificate expires soon']);
    expect(world.messages()).toHaveLength(2);
  });

  test('is no news while a later certificate waits for its turn', async () => {
    using world = await setUp({ old: [-300, 2], next: [1, 300] });
    await using _keys = world.open();

    for (let hour = 0; hour < 24; hour++) {
      world.clock.turn(DAY_MS / 24);
      await world.clock.advance(LOOK_MS);
    }

    expect(world.messages()).toEqual([]);
  });
});

describe('the start is refused', () => {
  test('when no certificate is valid', async () => {
    using world = await setUp({ past: [-300, -1], future: [1, 300] });

    expect(() => world.open()).toThrow('no certificate of signing.keys is valid now');
  });

  test('when any pair cannot be used, so that a spare is not found broken on the day it is needed', async () => {
    using world = await setUp({ good: [-1, 300], spare: [-1, 300] });
    world.folder.write('spare.key', 'no key');

    expect(() => world.open()).toThrow('holds no PEM private key');
  });
});
