// The provisioner's annotations that are no parameter: one selects a registry among the hosts of a rule, one an audience, one
// the name of the Secret. A prewarming rule follows them before any pod does, and none of their text leads anywhere else.
import { describe, expect, test } from 'vitest';
import { PROVISIONER, PROVISIONER_REGISTRY } from '../../src/core/identity-parameters.ts';
import { prewarmedNeeds } from '../../src/core/prewarm.ts';
import { requestsOf, ruleOf, stages, type FamilyStage } from './family-stages.ts';
import { EVIL, hostileTexts } from './hostile-texts.ts';
import { ACCOUNT } from './set-up.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';

/** As wide as a rule may be whose accounts select their registry. */
const wide: Record<string, Partial<RegistryRule>> = {
  ecr: {
    hosts: ['*.dkr.ecr.*.amazonaws.com', '*.dkr-ecr.*.on.aws'],
    registries: ['111122223333'],
  },
  google: { hosts: ['*.pkg.dev', '*.gcr.io'] },
};

function ruleFor(kind: string): RegistryRule {
  const stage = stages[kind] as FamilyStage; // both are there, as is every family
  return { ...ruleOf(kind, stage), ...wide[kind], prewarm: true, secretName: 'annotation' };
}

function needsFor(kind: string, change: Readonly<Record<string, string>>) {
  const { host, good } = stages[kind] as FamilyStage;
  const rule = ruleFor(kind);
  const annotations = Object.fromEntries(
    Object.entries(rule.family.parameters).flatMap(([key, { foreign = [] }]) =>
      foreign
        .filter((name) => name.startsWith(PROVISIONER))
        .map((name): [string, string] => [name, good[key] ?? '']),
    ),
  );
  const all = { ...annotations, [PROVISIONER_REGISTRY]: host, ...change };
  return prewarmedNeeds(rule, { ...ACCOUNT, annotations: all, pullSecrets: [], isDeleting: false });
}

const hostile = (good: string) =>
  [
    ...hostileTexts(good),
    `${EVIL}.${good}`,
    `${good}:8443`,
    `${good}.`,
    `.${good}`,
    `${good}/`,
    ` ${good}`,
    good.toUpperCase(),
    good.replace('.', '..'),
    good.replace('.', `.${EVIL}.`),
    good.replace(/^[a-z0-9-]+/, '*'),
    good.replace(/^[a-z0-9-]+/, 'stranger'),
    good.replace(/\.eu-west-1\./, '.{region}.'),
  ].filter((text) => text !== good);

describe.for(Object.keys(wide))('an account under a wide rule of %s', (kind) => {
  const { host, goes } = stages[kind] as FamilyStage;

  test('is prewarmed for the registry that it selects, at the services of the family', async () => {
    const needs = needsFor(kind, {});

    expect(needs.map(({ need }) => need.host)).toEqual([host]);
    const requests = await Promise.all(needs.map(requestsOf));
    expect(requests.flat().map(({ url }) => url.host)).toEqual(goes);
  });

  test.for(hostile(host))('that selects %j has nothing coming', (registry) => {
    expect(needsFor(kind, { [PROVISIONER_REGISTRY]: registry })).toEqual([]);
  });

  test.for(hostileTexts('sts.amazonaws.com'))('that wants the audience %j has nothing coming', (audience) => {
    expect(needsFor(kind, { [`${PROVISIONER}audience`]: audience })).toEqual([]);
  });

  test.for(hostileTexts('team-login'))(
    'whose Secret is called %j has one of a proper name, or none',
    (name) => {
      for (const { need } of needsFor(kind, { [`${PROVISIONER}secret-name`]: name }))
        expect(need.secretName).toMatch(/^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/);
    },
  );
});
