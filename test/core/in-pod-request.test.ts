// What the two annotations say, and what is made of those that say nothing readable.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inPodRequestOf, mountableContainers, quoted } from '../../src/core/in-pod-request.ts';
import { aPod } from './builders.ts';

const MOUNT = 'keyless-pull.dev/mount';
const DOCKER_CONFIG = 'keyless-pull.dev/docker-config';

/** A pod with the init container `init`, the containers `c0` and `c1`, an ephemeral one and an image volume. */
function podWith(annotations: Record<string, string>) {
  const spec = {
    initContainers: [{ name: 'init', image: 'i' }],
    ephemeralContainers: [{ name: 'debug', image: 'd' }],
    volumes: [{ name: 'model', image: { reference: 'm' } }],
  };
  return aPod(['a', 'b'], spec, { annotations });
}

const requestOf = (annotations: Record<string, string>) => inPodRequestOf(podWith(annotations));
const reasonsOf = (annotations: Record<string, string>) =>
  requestOf(annotations).leftOut.map(({ reason }) => reason);

describe('containers are asked for', () => {
  test.for([
    ['c0', ['c0']],
    ['*', ['init', 'c0', 'c1']],
    [' * ', ['init', 'c0', 'c1']],
    ['c1,init', ['init', 'c1']],
    [' c1 ,\tc0\n', ['c0', 'c1']],
    ['c0,c0,c0', ['c0']],
  ] as const)('by %j', ([text, containers]) => {
    expect(requestOf({ [MOUNT]: text })).toEqual({ mount: containers, leftOut: [] });
    expect(requestOf({ [DOCKER_CONFIG]: `team:${text}` })).toEqual({
      dockerConfig: { rule: 'team', containers },
      leftOut: [],
    });
  });

  test('by both annotations, each for itself', () => {
    expect(requestOf({ [MOUNT]: 'c0', [DOCKER_CONFIG]: ' team : c1 ' })).toEqual({
      mount: ['c0'],
      dockerConfig: { rule: 'team', containers: ['c1'] },
      leftOut: [],
    });
  });

  test('by nothing that is empty: templates leave it behind', () => {
    for (const nothing of [{}, { [MOUNT]: '' }, { [MOUNT]: '  ', [DOCKER_CONFIG]: '' }])
      expect(requestOf(nothing)).toEqual({ leftOut: [] });
  });

  test('that are 64, and not one more', () => {
    const names = Array.from({ length: 65 }, (_, at) => `c${at}`);
    const pod = (list: readonly string[]) =>
      inPodRequestOf(
        aPod(
          names.map(() => 'x'),
          {},
          { annotations: { [MOUNT]: list.join(',') } },
        ),
      );

    expect(pod(names.slice(0, 64)).mount).toHaveLength(64);
    expect(pod(names)).toEqual({
      leftOut: [
        {
          reason: 'request-malformed',
          host: '',
          container: '',
          message: `annotation ${MOUNT}: it names more than 64 containers`,
        },
      ],
    });
  });
});

describe('a container that the pod does not have', () => {
  test('is told, and the others are not held up', () => {
    expect(requestOf({ [MOUNT]: 'c0,ghost,other' })).toEqual({
      mount: ['c0'],
      leftOut: [
        {
          reason: 'no-such-container',
          host: '',
          container: '',
          message: `annotation ${MOUNT}: this pod has no init or ordinary container "ghost, other"`,
        },
      ],
    });
  });

  test.for(['debug', 'model', 'C0', 'c', 'c0 c1', '__proto__', 'constructor'])(
    'is %j: names are compared whole',
    (name) => {
      const { mount, leftOut } = requestOf({ [MOUNT]: name });

      expect(mount).toBeUndefined();
      expect(leftOut.map(({ reason }) => reason)).toEqual(['no-such-container']);
    },
  );
});

describe('what cannot be read', () => {
  test.for([',', 'c0,', ',c0', 'c0,,c1', '*,c0', 'c0,*'])('is the list %j', (text) => {
    expect(requestOf({ [MOUNT]: text }).mount).toBeUndefined();
    expect(reasonsOf({ [MOUNT]: text })).toEqual(['request-malformed']);
    expect(requestOf({ [DOCKER_CONFIG]: `team:${text}` }).dockerConfig).toBeUndefined();
    expect(reasonsOf({ [DOCKER_CONFIG]: `team:${text}` })).toEqual(['request-malformed']);
  });

  test.for(['c0', '*', ':c0', ':', 'team:', ' : c0', 'registry.team.example:5000:c0'])(
    'is the docker config %j',
    (text) => {
      const { dockerConfig, leftOut } = requestOf({ [DOCKER_CONFIG]: text });

      expect(dockerConfig).toBeUndefined();
      expect(leftOut.map(({ reason }) => reason)).toEqual(['request-malformed']);
    },
  );

  test('is what is longer than 4,096 characters', () => {
    const long = `c0,${'x'.repeat(4094)}`;

    expect(requestOf({ [MOUNT]: long, [DOCKER_CONFIG]: long })).toEqual({
      leftOut: [MOUNT, DOCKER_CONFIG].map((name) =>
        expect.objectContaining({ message: `annotation ${name}: it is longer than 4096 characters` }),
      ),
    });
    expect(requestOf({ [MOUNT]: `c0,${'x'.repeat(4093)}` }).mount).toEqual(['c0']);
  });
});

test('of several rules the first counts, for a docker config cannot be merged', () => {
  const { dockerConfig, leftOut } = requestOf({ [DOCKER_CONFIG]: 'team:c0,init, ecr:c1,c0' });

  expect(dockerConfig).toEqual({ rule: 'team', containers: ['init', 'c0'] });
  expect(leftOut.map(({ message }) => message)).toEqual([
    `annotation ${DOCKER_CONFIG}: one rule only, because a docker config cannot be merged: "ecr:c1,c0" is left out`,
  ]);
});

test('containers without a name are nobody, and images of other origins no containers', () => {
  const pod = aPod([], { containers: [{ image: 'x' }, { name: 'a', image: 'y' }] });

  expect(mountableContainers(pod)).toEqual(['a']);
  expect(mountableContainers(podWith({}))).toEqual(['init', 'c0', 'c1']);
});

describe('a quotation', () => {
  test.for([
    ['plain', '"plain"'],
    ['two\nlines\u0000', '"two?lines?"'],
    ['\u202Edesrever\u2028', '"?desrever?"'],
    ['a "b" \\', '"a \\"b\\" \\\\"'],
    ['\uD800half', '"\uFFFDhalf"'],
    ['x'.repeat(80), `"${'x'.repeat(80)}"`],
    ['x'.repeat(81), `"${'x'.repeat(79)}…"`],
    [`${'x'.repeat(78)}🙂🙂`, `"${'x'.repeat(78)}\uFFFD…"`],
  ] as const)('of %j is %s', ([text, shown]) => {
    expect(quoted(text)).toBe(shown);
  });
});

test('whatever stands there, the containers are the pod’s and the sentences short, of one line and not two the same', () => {
  const piece = fc.oneof(
    fc.constantFrom('c0', 'c1', 'init', '*', ',', ':', ' ', 'team', 'debug', '\n', '\u202E', '\uDC00', '"'),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const value = fc.array(piece, { maxLength: 200 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(value, value, (mount, dockerConfig) => {
      const request = requestOf({ [MOUNT]: mount, [DOCKER_CONFIG]: dockerConfig });

      for (const name of [...(request.mount ?? []), ...(request.dockerConfig?.containers ?? [])])
        expect(['init', 'c0', 'c1']).toContain(name);
      expect(request.mount).not.toEqual([]);
      const messages = request.leftOut.map(({ message }) => message);
      expect(new Set(messages).size).toBe(messages.length);
      for (const message of messages) {
        expect(message.length).toBeLessThan(360);
        expect(message.isWellFormed()).toBe(true);
        expect(message).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
      }
    }),
    { numRuns: 5000 },
  );
});
