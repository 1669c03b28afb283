// What our own pod is told of a changed config, looked at through the config file itself.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createConfigTeller } from '../../src/cli/config-events.ts';
import { createConfigFile } from '../../src/config-file.ts';
import { createLog } from '../../src/log.ts';
import { Problem } from '../../src/problem.ts';
import type { Cluster, ClusterEvent } from '../../src/cluster/cluster.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const GOOD = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team
    hosts: [registry.team.example]
    audience: https://registry.team.example
    exchange: { kind: pass-through }
`;
const BROKEN = `${GOOD}password: hunter2\n`;

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'keyless-pull-config-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const ourPods: Cluster['findPods'] = () =>
  Promise.resolve([{ name: 'keyless-pull-7', uid: 'uid-7' }] as never);

function open({ findPods = ourPods, isInPod = true } = {}) {
  const path = join(folder, 'config.yaml');
  writeFileSync(path, GOOD);
  const clock = createHandClock();
  const events: ClusterEvent[] = [];
  const cluster = { findPods, emit: (event: ClusterEvent) => void events.push(event) };
  const podName = isInPod ? 'keyless-pull-7' : undefined;
  const onReload = createConfigTeller({ cluster, clock, namespace: 'keyless-pull', podName });
  const config = createConfigFile(path, {
    clock,
    log: createLog('silent'),
    check: () => undefined,
    onReload,
  });
  return {
    events,
    reasons: () => events.map(({ reason }) => reason),
    async look(text: string) {
      writeFileSync(path, text);
      config.reload();
      await clock.advance(0);
    },
  };
}

test('a broken config is told of once, on our own pod, however often it is looked at', async () => {
  const { events, look } = open();

  for (let at = 0; at < 3; at++) await look(BROKEN);

  expect(events).toEqual([
    expect.objectContaining({
      reason: 'ConfigRefused',
      type: 'Warning',
      regarding: { kind: 'Pod', namespace: 'keyless-pull', name: 'keyless-pull-7', uid: 'uid-7' },
    }),
  ]);
});

test('another broken config is told of too, and then once that a good one is in force', async () => {
  const { look, reasons } = open();

  await look(BROKEN);
  await look(`${BROKEN}# again\n`);
  await look(GOOD);
  await look(`${GOOD}# a comment\n`);

  expect(reasons()).toEqual(['ConfigRefused', 'ConfigRefused', 'ConfigTaken']);
});

test('the note names the file, and nothing of what stands in it', async () => {
  const { events, look } = open();

  await look(BROKEN);
  await look(`${GOOD}hunter2 'hunter2: [\n`);

  expect(events).toHaveLength(2);
  for (const { note } of events) {
    expect(note).toContain('config.yaml has one fault');
    expect(note).not.toContain('hunter2');
  }
});

test('a config that changes from good to good is no event', async () => {
  const { look, reasons } = open();

  await look(`${GOOD}# a comment\n`);

  expect(reasons()).toEqual([]);
});

test('when our own pod cannot be looked up, the event names it without its uid', async () => {
  const { events, look } = open({
    findPods: () => Promise.reject(new Problem('cluster-unreachable', 'away')),
  });

  await look(BROKEN);

  expect(events[0]?.regarding).toMatchObject({ name: 'keyless-pull-7', uid: '' });
});

test('who runs in no pod has nothing to tell it of', async () => {
  const { look, reasons } = open({ isInPod: false });

  await look(BROKEN);

  expect(reasons()).toEqual([]);
});
