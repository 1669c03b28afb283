// What a parameter's text may be: several principals with commas, and nothing that its family does not know.
import { describe, expect, test } from 'vitest';
import { principalsOf, type Principals } from '../../src/core/identity-parameters.ts';
import { aRule } from './builders.ts';

const HOST = 'quay.team.example';
const ROBOT = { from: 'annotation', accept: ['quay.io/federated-robot-account'] };

const quayRule = (robot: object = ROBOT, change = {}) =>
  aRule({ name: 'team', hosts: [HOST], exchange: { kind: 'quay' }, parameters: { robot }, ...change });

function readFor(annotations: Record<string, string>, rule = quayRule(), host = HOST): Principals {
  return principalsOf(rule, { name: 'checkout', annotations }, host);
}
const namesFor = (...wish: Parameters<typeof readFor>) => readFor(...wish).principals.map(({ name }) => name);

const anything = { means: '', pattern: /^a*$/, looksLike: 'the letter a' };

describe('several principals', () => {
  test('stand in one annotation with commas, trimmed, each once, in their order', () => {
    expect(namesFor({ 'keyless-pull.dev/robot': ' shop+bb,shop+aa ,\tshop+bb,shop+cc\n' })).toEqual([
      'shop+bb',
      'shop+aa',
      'shop+cc',
    ]);
  });

  test('have a digest each, and share the other parameters', () => {
    const rule = aRule({
      hosts: ['docker.cloudsmith.io'],
      exchange: { kind: 'cloudsmith' },
      parameters: { organization: { from: 'rule', value: 'shop' }, service: { from: 'annotation' } },
    });

    const { principals } = readFor({ 'keyless-pull.dev/service': 'one,two' }, rule, 'docker.cloudsmith.io');

    expect(principals.map(({ parameters }) => parameters)).toEqual([
      { organization: 'shop', service: 'one' },
      { organization: 'shop', service: 'two' },
    ]);
    expect(new Set(principals.map(({ digest }) => digest)).size).toBe(2);
  });

  test('are 16 at most', () => {
    const list = (count: number) => Array.from({ length: count }, (_, at) => `shop+r${at}`).join(',');

    expect(namesFor({ 'keyless-pull.dev/robot': list(16) }).length).toBe(16);
    expect(readFor({ 'keyless-pull.dev/robot': list(17) })).toMatchObject({
      principals: [],
      faults: ['annotation keyless-pull.dev/robot: robot lists 16 at most'],
    });
  });

  test.for(['shop+aa,', ',shop+aa', 'shop+aa,,shop+bb', ',', ', ,'])('have no empty places: %j', (value) => {
    expect(readFor({ 'keyless-pull.dev/robot': value })).toMatchObject({
      principals: [],
      faults: ['annotation keyless-pull.dev/robot: robot looks like organization+name'],
    });
  });

  test('are all refused if one of them is bad', () => {
    expect(namesFor({ 'keyless-pull.dev/robot': 'shop+aa,Shop+B' })).toEqual([]);
  });

  test('are of the principal alone: a comma is no separator elsewhere', () => {
    const rule = aRule({
      hosts: ['docker.cloudsmith.io'],
      exchange: { kind: 'cloudsmith' },
      parameters: { organization: { from: 'annotation' }, service: { from: 'rule', value: 'one' } },
    });

    expect(readFor({ 'keyless-pull.dev/organization': 'a,b' }, rule, 'docker.cloudsmith.io').faults).toEqual([
      'annotation keyless-pull.dev/organization: organization looks like a slug: letters, digits and "-"',
    ]);
  });
});

describe('a bad value', () => {
  const bad = [
    'no-robot',
    'shop+aa\nshop+bb',
    'shop+\u001B[31mred',
    'shop+aa\0',
    'shop+aa b',
    `shop+${'a'.repeat(2048)}`,
    `shop+a${'\u00A0'}b`,
    'shop\uFF0Bpuller',
  ];

  test.for(bad)('is refused, and never quoted: it may be a secret, or change a terminal: %j', (value) => {
    const { principals, faults } = readFor({ 'keyless-pull.dev/robot': value });

    expect(principals).toEqual([]);
    expect(faults).toEqual(['annotation keyless-pull.dev/robot: robot looks like organization+name']);
  });

  test('of 2,049 characters is refused where the grammar alone would take it', () => {
    const rule = aRule({
      exchange: { kind: 'token-exchange', endpoint: 'https://sts.example' },
      parameters: { resource: { from: 'annotation' } },
    });
    const known = { ...rule, family: { ...rule.family, parameters: { resource: anything } } };
    const faultsOf = (length: number) =>
      readFor({ 'keyless-pull.dev/resource': 'a'.repeat(length) }, known).faults.length;

    expect(faultsOf(2048)).toBe(0);
    expect(faultsOf(2049)).toBe(1);
  });

  test('may end with a newline, as YAML likes to: it is cut off', () => {
    expect(readFor({ 'keyless-pull.dev/robot': 'shop+puller\n' }).principals[0]?.parameters).toEqual({
      robot: 'shop+puller',
    });
  });

  test('of the rule names the rule', () => {
    expect(readFor({}, quayRule({ from: 'rule', value: 'nonsense' })).faults).toEqual([
      'rule team: robot looks like organization+name',
    ]);
  });

  test('is told together with all others', () => {
    const rule = aRule({
      hosts: ['docker.cloudsmith.io'],
      exchange: { kind: 'cloudsmith' },
      parameters: { organization: { from: 'annotation' }, service: { from: 'annotation' } },
    });

    expect(readFor({ 'keyless-pull.dev/service': '-' }, rule, 'docker.cloudsmith.io').faults).toEqual([
      'ServiceAccount checkout has no annotation keyless-pull.dev/organization, which rule team needs',
      'annotation keyless-pull.dev/service: service looks like a slug: letters, digits and "-"',
    ]);
  });
});
