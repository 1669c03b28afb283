// What the demo shows of a stored pod: what keyless-pull did, and nothing of what every API server does.
import { describe, expect, test } from 'vitest';
import { applied, changedPaths, manifestAsStored, textDifference } from '../../tools/demo/pod-difference.ts';

const manifest = {
  kind: 'Pod',
  metadata: { name: 'app' },
  spec: { containers: [{ name: 'app', image: 'a' }] },
};
const defaults = { restartPolicy: 'Always', containers: [{ name: 'app', image: 'a', resources: {} }] };
const without = {
  kind: 'Pod',
  metadata: { name: 'app', namespace: 'other', uid: '1' },
  spec: defaults,
  status: { phase: 'Pending' },
};

describe('a manifest as it was stored', () => {
  test('has what was added and neither the defaults nor what differs in every life', () => {
    const stored = {
      kind: 'Pod',
      metadata: { name: 'app', namespace: 'team', uid: '2', labels: { managed: 'true' } },
      spec: { ...defaults, imagePullSecrets: [{ name: 'ours' }] },
      status: { phase: 'Pending', conditions: [] },
    };

    const seen = manifestAsStored(manifest, without, stored);

    expect(seen).toEqual({
      kind: 'Pod',
      metadata: { name: 'app', labels: { managed: 'true' } },
      spec: { ...manifest.spec, imagePullSecrets: [{ name: 'ours' }] },
    });
    expect(changedPaths(manifest, seen)).toEqual(['/metadata/labels', '/spec/imagePullSecrets']);
  });

  test('does not hide that something was changed which should not have been', () => {
    const stored = {
      ...without,
      spec: { ...defaults, containers: [{ name: 'app', image: 'b', resources: {} }] },
    };

    const seen = manifestAsStored(manifest, without, stored);

    expect(changedPaths(manifest, seen)).toEqual(['/spec/containers/0/image']);
  });

  test('leaves the manifest alone', () => {
    const before = structuredClone(manifest);

    applied(manifest, [{ op: 'add', path: '/metadata/labels', value: {} }]);

    expect(manifest).toEqual(before);
  });
});

test('a difference of texts has every line, whole', () => {
  const difference = textDifference('one\ntwo\nthree\n', 'one\n2\nthree\n');

  expect(difference).toEqual([
    { kind: 'same', text: 'one' },
    { kind: 'removed', text: 'two' },
    { kind: 'added', text: '2' },
    { kind: 'same', text: 'three' },
  ]);
});
