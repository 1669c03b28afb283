// What the annotations of an account are told when somebody writes them.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { annotationNotesOf } from '../../src/core/account-annotations.ts';
import { aRule, type Raw } from './builders.ts';

const PROVISIONER = 'imagepullsecrets.preferred.jp';
const ROLE = 'arn:aws:iam::111122223333:role/pull';
const LOOKS = 'role-arn looks like arn:aws:iam::111122223333:role/NAME';

const ecr = (change: Raw = {}) =>
  aRule({
    name: 'ecr',
    hosts: ['*.dkr.ecr.*.amazonaws.com'],
    registries: ['111122223333'],
    exchange: { kind: 'ecr' },
    parameters: { 'role-arn': { from: 'annotation', accept: ['eks.amazonaws.com/ecr-role-arn'] } },
    ...change,
  });
const quay = aRule({
  name: 'quay',
  hosts: ['quay.io'],
  exchange: { kind: 'quay' },
  parameters: { robot: { from: 'rule', value: 'team+pull' } },
});
const rules = [aRule(), ecr(), quay];
const notes = (annotations: Record<string, string>, before = {}, known = rules) =>
  annotationNotesOf(annotations, before, known);
const nothing = { faults: [], warnings: [] };

test('ten thousand unknown annotations are told in no time: nobody reads what was meant by the seventeenth', () => {
  const known = Array.from({ length: 50 }, (_, at) => aRule({ name: `team-registry-number-${at}` }));
  const names = Array.from({ length: 10_000 }, (_, at) => `team-registry-numbers-${at}.keyless-pull.dev/x`);
  const started = performance.now();

  const { warnings } = notes(Object.fromEntries(names.map((name) => [name, ''])), {}, known);

  expect(warnings).toHaveLength(10_000);
  expect(warnings.filter((text) => text.includes('did you mean'))).toHaveLength(16);
  // A tenth of a second is usual; comparing each with all rules takes ten.
  expect(performance.now() - started).toBeLessThan(10_000);
});

describe('of ours', () => {
  test.for<[annotation: string, value: string, notes: object]>([
    ['keyless-pull.dev/role-arn', ROLE, nothing],
    ['ecr.keyless-pull.dev/role-arn', `${ROLE}, ${ROLE}-2`, nothing],
    ['keyless-pull.dev/role-arn', '', nothing],
    [
      'keyless-pull.dev/role-arn',
      'pull',
      { faults: [`annotation keyless-pull.dev/role-arn: ${LOOKS}`], warnings: [] },
    ],
    [
      'keyless-pull.dev/rol-arn',
      ROLE,
      {
        faults: [],
        warnings: [
          'annotation keyless-pull.dev/rol-arn: no rule lets accounts set rol-arn; did you mean keyless-pull.dev/role-arn?',
        ],
      },
    ],
    [
      'ecrr.keyless-pull.dev/role-arn',
      ROLE,
      {
        faults: [],
        warnings: [
          'annotation ecrr.keyless-pull.dev/role-arn: there is no rule ecrr; did you mean ecr.keyless-pull.dev/role-arn?',
        ],
      },
    ],
    [
      'quay.keyless-pull.dev/robot',
      'team+mine',
      {
        faults: [],
        warnings: ['annotation quay.keyless-pull.dev/robot: rule quay does not let accounts set robot'],
      },
    ],
    [
      'keyless-pull.dev/mount',
      '*',
      {
        faults: [],
        warnings: ['annotation keyless-pull.dev/mount is for pods: nobody reads it on an account'],
      },
    ],
    [
      'keyless-pull.dev/prewarm',
      'yes',
      { faults: ['annotation keyless-pull.dev/prewarm: write "true" or "false"'], warnings: [] },
    ],
    [
      'keyless-pull.dev/prewarm',
      'true',
      { faults: [], warnings: ['annotation keyless-pull.dev/prewarm: no rule prewarms'] },
    ],
    [
      'quay.keyless-pull.dev/prewarm',
      'true',
      { faults: [], warnings: ['annotation quay.keyless-pull.dev/prewarm: rule quay does not prewarm'] },
    ],
  ])('%s: %j', ([annotation, value, expected]) => {
    expect(notes({ [annotation]: value })).toEqual(expected);
  });

  test("what was there before with this value is nobody's business now", () => {
    const annotations = { 'keyless-pull.dev/role-arn': 'pull', 'keyless-pull.dev/prewarm': 'yes' };

    expect(notes(annotations, annotations)).toEqual(nothing);
    expect(notes(annotations, { ...annotations, 'keyless-pull.dev/role-arn': ROLE }).faults).toHaveLength(1);
  });

  test('prewarm is taken where a rule prewarms', () => {
    const prewarming = [aRule({ prewarm: true })];

    expect(notes({ 'keyless-pull.dev/prewarm': 'true' }, {}, prewarming)).toEqual(nothing);
    expect(notes({ 'team.keyless-pull.dev/prewarm': 'false' }, {}, prewarming)).toEqual(nothing);
  });

  test('a value that one rule can take and another cannot warns: nothing of it is malformed', () => {
    const service = { parameters: { service: { from: 'annotation' }, organization: { from: 'annotation' } } };
    const cloudsmith = aRule({
      name: 'cloudsmith',
      hosts: ['docker.cloudsmith.io'],
      exchange: { kind: 'cloudsmith' },
      ...service,
    });
    const jfrog = {
      ...cloudsmith,
      name: 'other',
      family: {
        ...cloudsmith.family,
        parameters: { service: { means: '', pattern: /^x$/, looksLike: 'x' } },
      },
    };

    expect(notes({ 'keyless-pull.dev/service': 'slug' }, {}, [cloudsmith, jfrog])).toEqual({
      faults: [],
      warnings: ['annotation keyless-pull.dev/service: rule other cannot take it: service looks like x'],
    });
  });

  test('an annotation for one rule wins there, so what is for all is not held against that rule', () => {
    const annotations = { 'keyless-pull.dev/role-arn': 'pull', 'ecr.keyless-pull.dev/role-arn': ROLE };

    expect(notes(annotations)).toEqual(nothing);
  });

  test('are never repeated by value: it may be a secret in the wrong place', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 12 }), (value) => {
        const marked = `MARK${value}`;
        const told = notes({
          'keyless-pull.dev/role-arn': marked,
          'keyless-pull.dev/prewarm': marked,
          'eks.amazonaws.com/ecr-role-arn': marked,
          'keyless-pull.dev/unknown': marked,
        });

        expect(JSON.stringify(told)).not.toContain('MARK');
      }),
    );
  });
});

describe("of other tools'", () => {
  test.for<[what: string, annotations: Record<string, string>, warnings: string[]]>([
    ['what a rule accepts is fine', { 'eks.amazonaws.com/ecr-role-arn': ROLE }, []],
    [
      'what a rule accepts and cannot take',
      { 'eks.amazonaws.com/ecr-role-arn': 'pull' },
      [`annotation eks.amazonaws.com/ecr-role-arn, which rule ecr reads: ${LOOKS}`],
    ],
    [
      'what speaks of pulls alone, and no rule accepts',
      { 'kubernetes.azure.com/acr-client-id': 'x' },
      ['no rule accepts the annotation kubernetes.azure.com/acr-client-id'],
    ],
    [
      'what is for much else too is left alone',
      { 'eks.amazonaws.com/role-arn': ROLE, 'iam.gke.io/gcp-service-account': 'x', 'example.com/a': 'b' },
      [],
    ],
    [
      'what is nearly right',
      { 'eks.amazonaws.com/ecr-rol-arn': ROLE },
      [
        'no rule accepts the annotation eks.amazonaws.com/ecr-rol-arn; did you mean eks.amazonaws.com/ecr-role-arn?',
      ],
    ],
    [
      'what goes beside an annotation that no rule accepts',
      { [`${PROVISIONER}/registry`]: 'quay.io' },
      [`no rule accepts the annotation ${PROVISIONER}/registry`],
    ],
  ])('%s', ([, annotations, warnings]) => {
    expect(notes(annotations)).toEqual({ faults: [], warnings });
  });

  test('what goes beside one that a rule accepts is fine, and its misspelling is told', () => {
    const accepting = ecr({
      parameters: { 'role-arn': { from: 'annotation', accept: [`${PROVISIONER}/*`] } },
    });
    const annotations = { [`${PROVISIONER}/registry`]: 'x', [`${PROVISIONER}/secret-nam`]: 'y' };

    expect(notes(annotations, {}, [accepting]).warnings).toEqual([
      `no rule accepts the annotation ${PROVISIONER}/secret-nam; did you mean ${PROVISIONER}/secret-name?`,
    ]);
  });
});
