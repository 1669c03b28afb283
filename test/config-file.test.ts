// The config file while the program runs, and what is told of it: the metric behind the alert KeylessPullConfigRefused.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createConfigFile } from '../src/config-file.ts';
import { createLog } from '../src/log.ts';
import { createHandClock } from './fakes/hand-clock.ts';

const GOOD = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team
    hosts: [registry.team.example]
    audience: https://registry.team.example
    exchange: { kind: pass-through }
`;
const BROKEN = GOOD.replace('pass-through', 'magic');

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-config-'));
  path = join(folder, 'config.yaml');
  writeFileSync(path, GOOD);
});
afterEach(() => rmSync(folder, { recursive: true }));

function open() {
  const told: boolean[] = [];
  const config = createConfigFile(path, {
    clock: createHandClock(),
    log: createLog('silent'),
    check: () => undefined,
    onReload: (refusal) => void told.push(refusal === undefined),
  });
  const write = (text: string) => {
    writeFileSync(path, text);
    return config.reload();
  };
  return { config, told, write };
}

test('a broken file is refused once, and putting the old one back ends that', () => {
  const { config, told, write } = open();

  write(BROKEN);
  config.reload();
  const meanwhile = [...told];
  const isTaken = write(GOOD);
  config.reload();

  expect(meanwhile).toEqual([false]);
  expect(isTaken).toBe(true);
  expect(told).toEqual([false, true]);
  expect(config.current().rules.map(({ name }) => name)).toEqual(['team']);
});

test('a file that is away for a moment and comes back as it was is told of as good', () => {
  const { config, told } = open();
  renameSync(path, `${path}.away`);
  config.reload();
  renameSync(`${path}.away`, path);

  config.reload();
  config.reload();

  expect(told).toEqual([false, true]);
});

test('an emptied file is refused like any other that is broken', () => {
  const { told, write } = open();

  write('');

  expect(told).toEqual([false]);
});

test('a file that stays away is told of once, not with every look', () => {
  const { config, told } = open();
  rmSync(path);

  for (let look = 0; look < 3; look++) config.reload();

  expect(told).toEqual([false]);
});

test('the same broken file a second time is refused anew, for it was good in between', () => {
  const { told, write } = open();

  write(BROKEN);
  write(GOOD);
  write(BROKEN);

  expect(told).toEqual([false, true, false]);
});
